"""When each peer was last seen by any router: one row a peer, the newest time."""

from collections.abc import Sequence, Set
from datetime import datetime

from sqlalchemy import Connection, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from api.store.batches import batches
from api.store.schema import gateways, peers, sightings

# SQLite takes some 32,000 values in a statement.
_AT_ONCE = 5_000


def put(
    connection: Connection, seen: datetime, numbers: Sequence[int], at: Set[str] | None
) -> None:
    """Of those that were not seen as late before, at these gateways or wherever; ids of no peer
    are passed over.

    Most reports are about peers that another router has seen too, and write nothing. In the order
    of ids, so that two that come at once do not wait for each other.
    """
    engine = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = engine.insert(sightings)
    newest = row.on_conflict_do_update(
        index_elements=[sightings.c.peer_id],
        set_={"seen": row.excluded.seen},
        where=sightings.c.seen < row.excluded.seen,
    )
    wanted = sorted(set(numbers))
    for some in batches(wanted, _AT_ONCE):
        query = (
            select(peers.c.id)
            .outerjoin(sightings, sightings.c.peer_id == peers.c.id)
            .where(peers.c.id.in_(some))
            .where(or_(sightings.c.seen.is_(None), sightings.c.seen < seen))
            .order_by(peers.c.id)
        )
        if at is not None:
            here = select(gateways.c.id).where(gateways.c.name.in_(sorted(at)))
            query = query.where(peers.c.gateway_id.in_(here))
        if rows := [{"peer_id": n, "seen": seen} for n in connection.execute(query).scalars()]:
            connection.execute(newest, rows)


def of(connection: Connection, numbers: Sequence[int]) -> dict[int, datetime]:
    """Of these peers those that were seen, and when."""
    found: dict[int, datetime] = {}
    for some in batches(numbers, _AT_ONCE):
        query = select(sightings).where(sightings.c.peer_id.in_(some))
        found |= {row.peer_id: row.seen for row in connection.execute(query)}
    return found
