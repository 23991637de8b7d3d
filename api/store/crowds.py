"""How many peers gateways have."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, and_, func, select

from api.records import State
from api.store.batches import batches
from api.store.peers import in_state
from api.store.schema import gateways, peers

_BATCH = 500


def passing(connection: Connection, names: Iterable[str], now: datetime) -> dict[str, int]:
    """By gateway's name, those that pass now or later; without any it is left out."""
    passes = and_(in_state(State.APPROVED, now), ~in_state(State.EXPIRED, now))
    found: dict[str, int] = {}
    for some in batches(sorted(names), _BATCH):
        query = (
            select(gateways.c.name, func.count().label("peers"))
            .join_from(gateways, peers, peers.c.gateway_id == gateways.c.id)
            .where(gateways.c.name.in_(some), gateways.c.removed.is_(None), passes)
            .group_by(gateways.c.name)
        )
        found |= {row.name: row.peers for row in connection.execute(query)}
    return found
