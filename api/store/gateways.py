"""Rows of gateways. One that was removed stays, for the peers that name it."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from api.records import Gateway
from api.store.batches import batches
from api.store.schema import gateways
from policy.document import GatewaySpec, Mode

_BATCH = 500


def _gateway(row: Row[Any]) -> Gateway:
    return Gateway(
        id=row.id,
        spec=GatewaySpec.model_validate(row.spec),
        version=row.version,
        created=row.created,
        changed=row.changed,
    )


def _live() -> Select[Any]:
    return select(gateways).where(gateways.c.removed.is_(None)).order_by(gateways.c.name)


def find(connection: Connection, name: str) -> Gateway | None:
    row = connection.execute(_live().where(gateways.c.name == name)).one_or_none()
    return None if row is None else _gateway(row)


def every(connection: Connection) -> tuple[Gateway, ...]:
    return tuple(_gateway(row) for row in connection.execute(_live()))


def ids(connection: Connection) -> dict[str, int]:
    """By name, of those that are there now."""
    query = select(gateways.c.name, gateways.c.id).where(gateways.c.removed.is_(None))
    return {row.name: row.id for row in connection.execute(query)}


def page(
    connection: Connection, after: str, limit: int, prefix: str, mode: Mode | None
) -> tuple[Gateway, ...]:
    """The next ones whose name begins so, in that mode."""
    query = _live().where(gateways.c.name > after, gateways.c.name.between(prefix, prefix + "~"))
    if mode is not None:
        query = query.where(gateways.c.spec["mode"].as_string() == mode)
    return tuple(_gateway(row) for row in connection.execute(query.limit(limit)))


def named(connection: Connection, names: Iterable[str]) -> Iterator[Gateway]:
    wanted = sorted(names)
    for some in batches(wanted, _BATCH):
        query = _live().where(gateways.c.name.in_(some))
        yield from (_gateway(row) for row in connection.execute(query))


def selectors(connection: Connection) -> dict[str, dict[str, str]]:
    """By name, the labels of the routers that carry it."""
    query = select(gateways.c.name, gateways.c.spec).where(gateways.c.removed.is_(None))
    return {row.name: row.spec.get("routers", {}) for row in connection.execute(query)}


def count(connection: Connection) -> int:
    query = select(func.count()).select_from(gateways).where(gateways.c.removed.is_(None))
    return connection.execute(query).scalar_one()


def add(connection: Connection, spec: GatewaySpec, now: datetime) -> None:
    connection.execute(
        insert(gateways).values(
            name=spec.name,
            spec=spec.model_dump(mode="json"),
            version=_next_version(connection, spec.name),
            created=now,
            changed=now,
        )
    )


def _next_version(connection: Connection, name: str) -> int:
    """They go on where a removed gateway of this name ended: no ETag comes twice."""
    last = select(func.max(gateways.c.version)).where(gateways.c.name == name)
    return (connection.execute(last).scalar_one() or 0) + 1


def revive(connection: Connection, gateway: Gateway, now: datetime) -> None:
    """The row of one that was removed, and with it its peers' gateway, is in use again."""
    connection.execute(
        update(gateways)
        .where(gateways.c.id == gateway.id)
        .values(
            spec=gateway.spec.model_dump(mode="json"),
            version=_next_version(connection, gateway.name),
            changed=now,
            removed=None,
        )
    )


def change(connection: Connection, before: Gateway, spec: GatewaySpec, now: datetime) -> None:
    connection.execute(
        update(gateways)
        .where(gateways.c.id == before.id)
        .values(spec=spec.model_dump(mode="json"), version=before.version + 1, changed=now)
    )


def remove(connection: Connection, gateway: Gateway, now: datetime) -> None:
    connection.execute(update(gateways).where(gateways.c.id == gateway.id).values(removed=now))
