"""The latest report of each router."""

from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from api.records import Report
from api.store.schema import routers


def _report(row: Row[Any]) -> Report:
    return Report(
        router=row.name, revision=row.revision, received=row.received, content=row.content
    )


def put(connection: Connection, report: Report) -> None:
    connection.execute(delete(routers).where(routers.c.name == report.router))
    connection.execute(
        insert(routers).values(
            name=report.router,
            revision=report.revision,
            received=report.received,
            content=report.content,
        )
    )


def find(connection: Connection, name: str) -> Report | None:
    row = connection.execute(select(routers).where(routers.c.name == name)).one_or_none()
    return None if row is None else _report(row)


def page(connection: Connection, after: str, limit: int) -> tuple[Report, ...]:
    query = select(routers).where(routers.c.name > after).order_by(routers.c.name).limit(limit)
    return tuple(_report(row) for row in connection.execute(query))


def count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(routers)).scalar_one()
