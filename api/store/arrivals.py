"""How far routers have come, all together, and of which revision that was told last."""

from datetime import datetime

from sqlalchemy import Connection, func, select, update

from api.store.schema import event_log, reports, revisions, silent_routers


def told(connection: Connection) -> int:
    """The revision. Held until the transaction's end: of two that write reports at once, the
    second sees those of the first."""
    query = select(event_log.c.applied).with_for_update()
    revision: int = connection.execute(query).scalar_one()
    return revision


def reached(connection: Connection) -> tuple[int, int] | None:
    """The revision that all have who have reported and are not silent, and how many these are;
    None where nobody is."""
    query = select(func.min(reports.c.revision).label("revision"), func.count().label("routers"))
    query = query.where(reports.c.router.not_in(select(silent_routers.c.name)))
    row = connection.execute(query).one()
    return None if row.revision is None else (row.revision, row.routers)


def made(connection: Connection, revision: int) -> datetime | None:
    """When; None where this registry never made it."""
    query = select(revisions.c.time).where(revisions.c.revision == revision)
    return connection.execute(query).scalar_one_or_none()


def tell(connection: Connection, revision: int) -> None:
    connection.execute(update(event_log).values(applied=revision))
