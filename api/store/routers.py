"""Rows of routers, and the latest report of each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from api.records import Report, Router
from api.store.schema import reports, routers


def _router(row: Row[Any]) -> Router:
    return Router(
        name=row.name,
        labels=row.labels,
        version=row.version,
        created=row.created,
        created_by=row.created_by,
    )


def _report(row: Row[Any]) -> Report:
    return Report(
        router=row.router, revision=row.revision, received=row.received, content=row.content
    )


def add(connection: Connection, router: Router) -> None:
    connection.execute(
        insert(routers).values(
            name=router.name,
            labels=router.labels,
            version=router.version,
            created=router.created,
            created_by=router.created_by,
        )
    )


def change(connection: Connection, router: Router) -> None:
    """Its labels and its version."""
    connection.execute(
        update(routers)
        .where(routers.c.name == router.name)
        .values(labels=router.labels, version=router.version)
    )


def remove(connection: Connection, name: str) -> None:
    """With its report. Those who report lock in the same order."""
    connection.execute(select(routers.c.name).where(routers.c.name == name).with_for_update())
    connection.execute(delete(reports).where(reports.c.router == name))
    connection.execute(delete(routers).where(routers.c.name == name))


def find(connection: Connection, name: str) -> Router | None:
    row = connection.execute(select(routers).where(routers.c.name == name)).one_or_none()
    return None if row is None else _router(row)


def page(
    connection: Connection,
    after: str,
    limit: int,
    prefix: str,
    labelled: Mapping[str, str],
) -> tuple[Router, ...]:
    """The next ones whose name begins so, and that have all of these labels."""
    query = select(routers).where(
        routers.c.name > after, routers.c.name.between(prefix, prefix + "~")
    )
    for name, value in labelled.items():
        query = query.where(routers.c.labels[name].as_string() == value)
    found = connection.execute(query.order_by(routers.c.name).limit(limit))
    return tuple(_router(row) for row in found)


def every(connection: Connection) -> tuple[Router, ...]:
    query = select(routers).order_by(routers.c.name)
    return tuple(_router(row) for row in connection.execute(query))


def count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(routers)).scalar_one()


def among(connection: Connection, names: Iterable[str], *, lock: bool = False) -> set[str]:
    """Those of the names that are routers'; with `lock`, until the transaction's end."""
    query = select(routers.c.name).where(routers.c.name.in_(list(names))).order_by(routers.c.name)
    if lock:
        query = query.with_for_update(read=True, key_share=True)
    return set(connection.execute(query).scalars())


def put_reports(connection: Connection, found: Sequence[Report]) -> None:
    """One of each router. Two reports of a router may come at once: by name, so that neither of
    two who write some waits for the other for ever."""
    engine = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = engine.insert(reports)
    new = {name: row.excluded[name] for name in ("revision", "received", "content")}
    statement = row.on_conflict_do_update(index_elements=[reports.c.router], set_=new)
    in_order = sorted(found, key=lambda report: report.router)
    connection.execute(statement, [asdict(report) for report in in_order])


def reports_of(
    connection: Connection, names: Iterable[str], *, lock: bool = False
) -> dict[str, Report]:
    """The latest of each that has reported. `lock` makes reports of one router queue where the
    database does not do so by itself."""
    query = select(reports).where(reports.c.router.in_(list(names))).order_by(reports.c.router)
    found = connection.execute(query.with_for_update() if lock else query)
    return {row.router: _report(row) for row in found}


def labels(connection: Connection, names: Iterable[str] | None = None) -> dict[str, dict[str, str]]:
    """By name, of every router, or of those of some names that are there."""
    query = select(routers.c.name, routers.c.labels)
    if names is not None:
        query = query.where(routers.c.name.in_(list(names)))
    return {row.name: row.labels for row in connection.execute(query)}
