"""Packets at gateways, added up in steps of time."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import BigInteger, Connection, delete, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from api.rate_records import MOST, Count
from api.store.rate_tables import rates


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One counter of one step; `seconds` and `start` as in the table."""

    gateway_id: int
    seconds: int
    start: int
    counter: str


def add(connection: Connection, found: Mapping[Place, Count]) -> None:
    """In one order for all, so that two that come at once do not wait for each other."""
    engine = postgresql if connection.dialect.name == "postgresql" else sqlite
    least = func.least if engine is postgresql else func.min
    row = engine.insert(rates)
    had, new = rates.c, row.excluded
    most = literal(MOST, BigInteger())
    added = row.on_conflict_do_update(
        index_elements=[had.gateway_id, had.seconds, had.start, had.counter],
        set_={name: least(had[name] + new[name], most) for name in ("packets", "bytes")},
    )
    rows = [
        {
            "gateway_id": place.gateway_id,
            "seconds": place.seconds,
            "start": place.start,
            "counter": place.counter,
            "packets": count.packets,
            "bytes": count.octets,
        }
        for place, count in sorted(found.items(), key=lambda item: item[0])
    ]
    if rows:
        connection.execute(added, rows)


def since(
    connection: Connection, gateway_id: int, seconds: int, start: int
) -> dict[int, dict[str, Count]]:
    """Of one gateway, steps of that length that begin then or later, by their begin."""
    of = rates.c
    query = select(of.start, of.counter, of.packets, of.bytes).where(
        of.gateway_id == gateway_id, of.seconds == seconds, of.start >= start
    )
    found: dict[int, dict[str, Count]] = {}
    for row in connection.execute(query):
        found.setdefault(row.start, {})[row.counter] = Count(row.packets, row.bytes)
    return found


def forget(connection: Connection, seconds: int, before: int) -> None:
    connection.execute(delete(rates).where(rates.c.seconds == seconds, rates.c.start < before))
