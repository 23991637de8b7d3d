"""Strangers at one gateway, and who lets in what holds a source."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, or_, select

from api.records import State
from api.store import keys, sources
from api.store.batches import batches
from api.store.keys import AT_ONCE, Spot, around, key_of_address, prefix_of
from api.store.schema import peer_sources, peers
from api.store.stranger_search import every, stranger_of
from api.store.stranger_tables import strangers
from api.stranger_records import Stranger
from policy.prefixes import Address, Network
from policy.window import Window


def at(
    connection: Connection, gateway: int, first: Address | None, last: Address | None
) -> Iterator[Stranger]:
    """Those seen last come first; of all, or of such from `first` to `last`."""
    query = every().where(strangers.c.gateway_id == gateway)
    if first is not None and last is not None:
        query = query.where(strangers.c.key.between(key_of_address(first), key_of_address(last)))
    order = (strangers.c.last_seen.desc(), strangers.c.id.desc())
    options = {"yield_per": 500}
    with connection.execute(query.order_by(*order), execution_options=options) as rows:
        yield from map(stranger_of, rows)


def registered(
    connection: Connection, spots: Iterable[Spot], now: datetime
) -> dict[Spot, list[int]]:
    """Of these sources, the peers that let them in now."""

    def fetch(wanted: Sequence[bytes], gateway_ids: set[int]) -> Iterator[tuple[int, bytes, int]]:
        here = peers.c.gateway_id.in_(gateway_ids)
        begun = or_(peers.c.valid_from.is_(None), peers.c.valid_from <= now)
        for row in connection.execute(_passing(wanted, now, here).where(begun)):
            yield row.gateway_id, row.key, row.id

    return keys.over(spots, fetch)


def holding(
    connection: Connection, gateway: int, prefixes: Iterable[Network], now: datetime
) -> Iterator[tuple[int, Network, Window]]:
    """Peers that let in any of these sources there, now or later: what holds it, and when."""
    wanted = sorted(
        {key for each in prefixes for key in around(each.network_address, each.prefixlen)}
    )
    for some in batches(wanted, AT_ONCE):
        for row in connection.execute(_passing(some, now, peers.c.gateway_id == gateway)):
            yield row.id, prefix_of(row.key), Window(row.valid_from, row.valid_until)


def _passing(wanted: Sequence[bytes], now: datetime, here: ColumnElement[bool]) -> Select[Any]:
    return (
        select(
            peers.c.gateway_id,
            peer_sources.c.key,
            peers.c.id,
            peers.c.valid_from,
            peers.c.valid_until,
        )
        .select_from(sources.with_peers())
        .where(peer_sources.c.key.in_(wanted), here, peers.c.state == State.APPROVED.value)
        .where(or_(peers.c.valid_until.is_(None), peers.c.valid_until > now))
    )
