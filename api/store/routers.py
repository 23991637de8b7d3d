"""The latest report of each router."""

from typing import Any

from sqlalchemy import Connection, Row, func, select
from sqlalchemy.dialects import postgresql, sqlite

from api.records import Report
from api.store.schema import routers


def _report(row: Row[Any]) -> Report:
    return Report(
        router=row.name, revision=row.revision, received=row.received, content=row.content
    )


def put(connection: Connection, report: Report) -> None:
    """In one statement: two reports of one router may come at once."""
    said = {
        "revision": report.revision,
        "received": report.received,
        "content": report.content,
    }
    engine = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = engine.insert(routers).values(name=report.router, **said)
    connection.execute(row.on_conflict_do_update(index_elements=[routers.c.name], set_=said))


def find(connection: Connection, name: str) -> Report | None:
    row = connection.execute(select(routers).where(routers.c.name == name)).one_or_none()
    return None if row is None else _report(row)


def page(connection: Connection, after: str, limit: int) -> tuple[Report, ...]:
    query = select(routers).where(routers.c.name > after).order_by(routers.c.name).limit(limit)
    return tuple(_report(row) for row in connection.execute(query))


def count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(routers)).scalar_one()
