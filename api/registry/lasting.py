"""Whether whoever was let in would be let in still."""

from datetime import datetime

from api.errors import UnauthorizedError
from api.records import Actor
from api.store import sessions, tokens
from api.store.engine import Connection


def check(connection: Connection, actor: Actor, now: datetime) -> None:
    """A body may take minutes to come in, and a change waits for its turn: whether the actor's
    token and session are good still. Raises UnauthorizedError."""
    if actor.session is not None and not sessions.there(connection, (actor.session,), now):
        raise no_session()
    if actor.token is not None and not tokens.working(connection, (actor.token,), now):
        raise no_token()


def no_token() -> UnauthorizedError:
    return UnauthorizedError("this token is unknown, revoked or expired", "invalid-token")


def no_session() -> UnauthorizedError:
    return UnauthorizedError("this session has ended: sign in again", "session-ended")
