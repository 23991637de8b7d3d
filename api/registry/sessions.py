"""Sessions of people at the page. Each stands for a token, or for one whom an identity provider
vouched for, and is known by a secret in a cookie, of which the database keeps the digest."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from api.records import Origin, Session
from api.registry.core import Read, Registry
from api.registry.permissions import Caller
from api.store import sessions, tokens

# A working day. A token may end it earlier.
LASTS = timedelta(hours=12)
# One that an identity provider let in lasts at most so long: it does not tell us of those whom it
# would not let in any more.
VOUCHED_LASTS = timedelta(hours=1)
# Of one caller: those who lose their cookie again and again do not fill the table.
MOST = 20


def begin(registry: Registry, caller: Caller, *, until: datetime | None) -> tuple[str, datetime]:
    """The secret of a new session, which is not kept and cannot be had again, and its end: at the
    latest that of what the caller shows, `until`."""
    secret = secrets.token_urlsafe(32)
    with registry.aside(caller.name) as aside:
        ends = aside.now + (LASTS if caller.token is not None else VOUCHED_LASTS)
        if until is not None:
            ends = min(ends, until)
        session = Session(
            digest=digest_of(secret),
            caller=hashlib.sha256(caller.identity.encode()).hexdigest(),
            token_id=caller.token,
            name=caller.name,
            role=caller.role,
            subject=caller.subject,
            created=aside.now,
            expires=ends,
        )
        sessions.add(aside.connection, session)
        sessions.trim(aside.connection, session.caller, MOST)
    return secret, ends


def authenticate(read: Read, secret: str, origin: Origin) -> Caller | None:
    """Whoever began this session; None where it has ended, or its token has."""
    session = sessions.find(read.connection, digest_of(secret), read.now)
    if session is None:
        return None
    if session.token_id is None:
        return Caller(
            None,
            session.name,
            session.role,
            origin,
            None,
            session.expires,
            session.subject,
            session=session.digest,
        )
    found = tokens.find(read.connection, session.token_id)
    if found is None:
        return None
    token, _ = found
    ends = session.expires if token.expires is None else min(session.expires, token.expires)
    return Caller(
        token.id,
        token.name,
        token.role,
        origin,
        token.router,
        ends,
        peer=token.peer,
        session=session.digest,
    )


def ended(read: Read, digests: Collection[str]) -> set[str]:
    """Those of some sessions that are over."""
    return set(digests) - sessions.there(read.connection, digests, read.now)


def end(registry: Registry, secret: str) -> None:
    with registry.aside("peergate") as aside:
        sessions.end(aside.connection, digest_of(secret))


def forget(registry: Registry) -> None:
    """Those that have ended."""
    with registry.aside("peergate") as aside:
        sessions.forget(aside.connection, aside.now)


def digest_of(secret: str) -> str:
    # As of tokens: 256 random bits cannot be guessed.
    return hashlib.sha256(secret.encode()).hexdigest()
