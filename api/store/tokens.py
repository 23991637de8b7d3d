"""Rows of tokens: the digest of each secret, never the secret."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from api.records import Role, Token
from api.store.batches import batches
from api.store.schema import tokens

_BATCH = 500


def _token(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        created=row.created,
        created_by=row.created_by,
        expires=row.expires,
        router=row.router,
        peer=row.peer_id,
    )


def add(connection: Connection, token: Token, digest: str) -> int:
    """The new token's id; the one in the record does not count."""
    result = connection.execute(
        insert(tokens)
        .values(
            name=token.name,
            role=token.role.value,
            digest=digest,
            created=token.created,
            created_by=token.created_by,
            expires=token.expires,
            router=token.router,
            peer_id=token.peer,
        )
        .returning(tokens.c.id)
    )
    number: int = result.scalar_one()
    return number


def find(connection: Connection, number: int) -> tuple[Token, str] | None:
    """A token that was not revoked, with its digest."""
    query = select(tokens).where(tokens.c.id == number, tokens.c.revoked.is_(None))
    row = connection.execute(query).one_or_none()
    return None if row is None else (_token(row), row.digest)


def page(
    connection: Connection, after: int, limit: int, role: Role | None, router: str | None
) -> tuple[Token, ...]:
    """The next ones, of that role and for that router."""
    query = select(tokens).where(tokens.c.id > after, tokens.c.revoked.is_(None))
    if role is not None:
        query = query.where(tokens.c.role == role.value)
    if router is not None:
        query = query.where(tokens.c.router == router)
    found = connection.execute(query.order_by(tokens.c.id).limit(limit))
    return tuple(_token(row) for row in found)


def lasting_admins(connection: Connection, now: datetime) -> set[int]:
    """Ids of the admin tokens that work now."""
    query = select(tokens.c.id).where(
        tokens.c.role == Role.ADMIN.value,
        tokens.c.revoked.is_(None),
        or_(tokens.c.expires.is_(None), tokens.c.expires > now),
    )
    return set(connection.execute(query).scalars())


def working(connection: Connection, numbers: Collection[int], now: datetime) -> set[int]:
    """Those of some ids whose tokens work now."""
    wanted = sorted(numbers)
    found: set[int] = set()
    for some in batches(wanted, _BATCH):
        query = select(tokens.c.id).where(
            tokens.c.id.in_(some),
            tokens.c.revoked.is_(None),
            or_(tokens.c.expires.is_(None), tokens.c.expires > now),
        )
        found.update(connection.execute(query).scalars())
    return found


def revoke(connection: Connection, number: int, now: datetime) -> None:
    connection.execute(update(tokens).where(tokens.c.id == number).values(revoked=now))


def of_router(connection: Connection, router: str) -> tuple[Token, ...]:
    """Those that were not revoked."""
    query = select(tokens).where(tokens.c.router == router, tokens.c.revoked.is_(None))
    return tuple(_token(row) for row in connection.execute(query.order_by(tokens.c.id)))


def of_peer(connection: Connection, number: int) -> tuple[Token, ...]:
    """The tokens for one peer that were not revoked."""
    query = select(tokens).where(tokens.c.peer_id == number, tokens.c.revoked.is_(None))
    return tuple(_token(row) for row in connection.execute(query))


def count_revoked(connection: Connection) -> int:
    """It changes with every revocation."""
    query = select(func.count()).select_from(tokens).where(tokens.c.revoked.is_not(None))
    return connection.execute(query).scalar_one()
