"""What one process of several does: a row for each thing, and who has it until when."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from api.store.schema import leases


def take(connection: Connection, name: str, holder: str, span: timedelta) -> bool:
    """Whether `holder` has it now, for `span` from now on; also to keep it."""
    now = _now(connection)
    engine = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = engine.insert(leases).values(name=name, holder=holder, until=now + span)
    query = row.on_conflict_do_update(
        index_elements=[leases.c.name],
        set_={"holder": row.excluded.holder, "until": row.excluded.until},
        where=or_(leases.c.holder == holder, leases.c.until <= now),
    ).returning(leases.c.name)
    return connection.execute(query).first() is not None


def give_up(connection: Connection, name: str, holder: str) -> None:
    connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))


def _now(connection: Connection) -> datetime:
    """By one clock for all: the server's, or that of the one machine."""
    if connection.dialect.name != "postgresql":
        return datetime.now(UTC)
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now
