"""Rows of cut-overs: the latest of each gateway."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, select, update
from sqlalchemy.dialects import postgresql, sqlite

from api.cutover_records import UNDER_WAY, Activity, Cutover, CutoverState
from api.store.cutover_tables import cutovers
from api.store.schema import gateways


def _every() -> Select[Any]:
    """Of gateways that are there, by name."""
    return (
        select(cutovers, gateways.c.name.label("gateway"))
        .join(gateways, gateways.c.id == cutovers.c.gateway_id)
        .where(gateways.c.removed.is_(None))
        .order_by(gateways.c.name)
    )


def _cutover(row: Row[Any]) -> Cutover:
    fields = dict(row._mapping)
    activity = Activity(fields.pop("days"), fields.pop("min_minutes"))
    return Cutover(**fields | {"state": CutoverState(row.state), "activity": activity})


def find(connection: Connection, gateway_id: int) -> Cutover | None:
    query = _every().where(cutovers.c.gateway_id == gateway_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else _cutover(row)


def every(connection: Connection) -> dict[int, Cutover]:
    """By gateway's id."""
    return {row.gateway_id: _cutover(row) for row in connection.execute(_every())}


def among(connection: Connection, gateway_ids: Sequence[int]) -> dict[int, Cutover]:
    """By gateway's id, of a page of them."""
    query = _every().where(cutovers.c.gateway_id.in_(gateway_ids))
    return {row.gateway_id: _cutover(row) for row in connection.execute(query)}


def under_way(connection: Connection) -> tuple[Cutover, ...]:
    """As far as it is noted."""
    states = [state.value for state in UNDER_WAY]
    query = _every().where(cutovers.c.state.in_(states))
    return tuple(_cutover(row) for row in connection.execute(query))


def save(connection: Connection, cutover: Cutover) -> None:
    """In place of the gateway's earlier one."""
    engine = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = engine.insert(cutovers).values(_columns(cutover))
    fields = {c.name: row.excluded[c.name] for c in cutovers.c if not c.primary_key}
    connection.execute(row.on_conflict_do_update(index_elements=["gateway_id"], set_=fields))


def note_strangers(connection: Connection, cutover: Cutover, strangers: int) -> bool:
    """How many there are by now, unless somebody has noted something else meanwhile."""
    of = cutovers.c
    same = (
        of.gateway_id == cutover.gateway_id,
        of.state == cutover.state.value,
        of.revision == cutover.revision,
        of.strangers == cutover.strangers,
    )
    noted = connection.execute(update(cutovers).where(*same).values(strangers=strangers))
    return bool(noted.rowcount)


def _columns(cutover: Cutover) -> dict[str, Any]:
    activity = {"days": cutover.activity.days, "min_minutes": cutover.activity.min_minutes}
    state = {"state": cutover.state.value}
    names = [column.name for column in cutovers.c if column.name not in {*activity, *state}]
    return activity | state | {name: getattr(cutover, name) for name in names}
