"""Routers from which nothing was heard for too long: each is written down, and struck off, once."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from api.store.schema import reports, silent_routers


def due(connection: Connection, heard_before: datetime) -> tuple[tuple[str, datetime], ...]:
    """Name and last report's time of those not written down yet, by name."""
    query = (
        select(reports.c.router, reports.c.received)
        .where(
            reports.c.received < heard_before,
            reports.c.router.not_in(select(silent_routers.c.name)),
        )
        .order_by(reports.c.router)
    )
    return tuple((row.router, row.received) for row in connection.execute(query))


def add(connection: Connection, silent: Sequence[tuple[str, datetime]]) -> set[str]:
    """Those of them that nobody else had written down."""
    engine = postgresql if connection.dialect.name == "postgresql" else sqlite
    query = (
        engine.insert(silent_routers)
        .values([{"name": name, "since": since} for name, since in silent])
        .on_conflict_do_nothing()
        .returning(silent_routers.c.name)
    )
    return set(connection.execute(query).scalars())


def end(connection: Connection, names: Sequence[str]) -> dict[str, datetime]:
    """Those of them that were silent, and since when."""
    query = delete(silent_routers).where(silent_routers.c.name.in_(names))
    ended = connection.execute(query.returning(silent_routers.c.name, silent_routers.c.since))
    return {row.name: row.since for row in ended}
