"""Bearer tokens: `pg_ID_SECRET`, of which the database keeps the secret's digest."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from datetime import datetime

from api.errors import ConflictError, NotFoundError, RefusedError
from api.event_types import EventType
from api.records import Origin, Role, Token
from api.registry import routers
from api.registry.core import Read, Write
from api.registry.permissions import Caller
from api.store import tokens
from policy.errors import Problem
from policy.window import rfc3339

PREFIX = "pg_"
_TOKEN = re.compile(r"pg_([1-9][0-9]{0,15})_([A-Za-z0-9_-]{43})")


def _digest(secret: str) -> str:
    # 256 random bits cannot be guessed: no slow hash is needed.
    return hashlib.sha256(secret.encode()).hexdigest()


def issue(
    write: Write,
    name: str,
    role: Role,
    expires: datetime | None,
    router: str | None = None,
    peer: int | None = None,
) -> tuple[Token, str]:
    """A new token and its text, which is not kept and cannot be had again.

    An agent's is for one router: the one named, which must be there, or else the one of the
    token's own name, which is made if need be. An owner's is for one peer.
    """
    if role is Role.OWNER and peer is None:
        rule = "an owner's token is one peer's: make it there (POST /v1/peers/{id}/token)"
        raise RefusedError("such a token is made elsewhere", "", (Problem("role", role, rule),))
    if expires is not None and expires <= write.now:
        problem = Problem("expires", expires.isoformat(), "this is in the past")
        raise RefusedError("such a token would never work", "", (problem,))
    router = _router(write, name, role, router)
    secret = secrets.token_urlsafe(32)
    wanted = Token(0, name, role, write.now, write.author, expires, router, peer)
    number = tokens.add(write.connection, wanted, _digest(secret))
    token = get(write, number)
    write.record("token.make", f"token/{number}", None, token)
    shown = {"name": name, "role": role.value, "expires": rfc3339(expires)}
    write.tell(EventType.TOKEN_MADE, number, shown)
    return token, f"pg_{number}_{secret}"


def _router(write: Write, name: str, role: Role, router: str | None) -> str | None:
    if role is not Role.AGENT:
        if router is not None:
            problem = Problem("router", router, "only a token of the role agent is for a router")
            raise RefusedError("such a token is for nobody", "", (problem,))
        return None
    if router is None:
        return routers.ensure(write, name).name
    return routers.get(write, router).name


def get(state: Read | Write, number: int) -> Token:
    found = tokens.find(state.connection, number)
    if found is None:
        raise NotFoundError(f"there is no token {number}")
    return found[0]


def page(
    read: Read, after: int, limit: int, *, role: Role | None = None, router: str | None = None
) -> tuple[Token, ...]:
    return tokens.page(read.connection, after, limit, role, router)


def lapsed(read: Read, numbers: Collection[int]) -> set[int]:
    """Those of some tokens that were revoked or have expired."""
    return set(numbers) - tokens.working(read.connection, numbers, read.now)


def revoke(write: Write, number: int) -> None:
    token = get(write, number)
    if tokens.lasting_admins(write.connection, write.now) == {number}:
        raise ConflictError(
            "this is the last admin token: make another one first", "last-admin-token"
        )
    tokens.revoke(write.connection, number, write.now)
    write.record("token.revoke", f"token/{number}", token, None)
    write.tell(EventType.TOKEN_REVOKED, number, {"name": token.name, "role": token.role.value})


def end_of_peer(write: Write, number: int) -> int:
    """Ends what opens one peer; how many tokens that were."""
    ending = tokens.of_peer(write.connection, number)
    for token in ending:
        tokens.revoke(write.connection, token.id, write.now)
        write.record("token.revoke", f"token/{token.id}", token, None)
        shown = {"name": token.name, "role": token.role.value}
        write.tell(EventType.TOKEN_REVOKED, token.id, shown)
    return len(ending)


def authenticate(read: Read, text: str, origin: Origin) -> Caller | None:
    """Whoever holds this token; None where it is not, or no longer, one of ours."""
    match = _TOKEN.fullmatch(text)
    if match is None:
        return None
    found = tokens.find(read.connection, int(match[1]))
    if found is None:
        return None
    token, digest = found
    if not hmac.compare_digest(digest, _digest(match[2])):
        return None
    if token.expires is not None and token.expires <= read.now:
        return None
    return Caller(
        token.id, token.name, token.role, origin, token.router, token.expires, peer=token.peer
    )


def lasts(read: Read, caller: Caller) -> bool:
    """Whether the caller's token works still."""
    if caller.expires is not None and caller.expires <= read.now:
        return False
    return caller.token is None or tokens.find(read.connection, caller.token) is not None


def count_revoked(read: Read) -> int:
    """While it is the same, whoever was let in may come in again, up to the token's end."""
    return tokens.count_revoked(read.connection)
