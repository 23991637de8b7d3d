"""Rows of sessions: the digest of each secret, never the secret."""

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from api.records import Role, Session
from api.store.session_tables import sessions


def add(connection: Connection, session: Session) -> None:
    connection.execute(insert(sessions).values(**{**asdict(session), "role": session.role.value}))


def find(connection: Connection, digest: str, now: datetime) -> Session | None:
    """One that has not ended."""
    query = select(sessions).where(sessions.c.digest == digest, sessions.c.expires > now)
    row = connection.execute(query).one_or_none()
    return None if row is None else Session(**{**row._mapping, "role": Role(row.role)})


def there(connection: Connection, digests: Collection[str], now: datetime) -> set[str]:
    """Those of some that have not ended."""
    query = select(sessions.c.digest).where(
        sessions.c.digest.in_(list(digests)), sessions.c.expires > now
    )
    return set(connection.execute(query).scalars())


def end(connection: Connection, digest: str) -> None:
    connection.execute(delete(sessions).where(sessions.c.digest == digest))


def trim(connection: Connection, caller: str, most: int) -> None:
    """Of more than `most` of one caller the oldest end."""
    of = sessions.c
    kept = (
        select(of.digest)
        .where(of.caller == caller)
        .order_by(of.created.desc(), of.digest)
        .limit(most)
    )
    listed = list(connection.execute(kept).scalars())
    connection.execute(delete(sessions).where(of.caller == caller, of.digest.not_in(listed)))


def forget(connection: Connection, now: datetime) -> None:
    connection.execute(delete(sessions).where(sessions.c.expires <= now))
