"""Pages of strangers, in the order of an index, and what stands over them."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from api.records import Peer, State
from api.store import keys, sources
from api.store import peers as peer_rows
from api.store.keys import Spot, address_of, key_of_address
from api.store.schema import gateways, peer_sources, peers
from api.store.stranger_tables import stranger_totals, strangers
from api.stranger_records import (
    ORDERS,
    GatewayTotal,
    Order,
    Stranger,
    StrangerFilter,
    StrangerPlace,
    date_of,
)

_STRENGTH = (State.ACTIVE, State.APPROVED, State.PENDING, State.EXPIRED)


def every() -> Select[Any]:
    return (
        select(strangers, gateways.c.name.label("gateway"))
        .join(gateways, gateways.c.id == strangers.c.gateway_id)
        .where(gateways.c.removed.is_(None))
    )


def stranger_of(row: Row[Any]) -> Stranger:
    return Stranger(
        id=row.id,
        gateway_id=row.gateway_id,
        gateway=row.gateway,
        source=address_of(row.key),
        service=row.service,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        packets=row.packets,
        samples=row.samples,
        minutes=row.minutes,
        dropped=row.dropped,
        last_dropped=row.last_dropped,
        routers=tuple(sorted(row.routers.strip(",").split(","))),
        days=row.days,
    )


def find(connection: Connection, number: int) -> Stranger | None:
    row = connection.execute(every().where(strangers.c.id == number)).one_or_none()
    return None if row is None else stranger_of(row)


def page(
    connection: Connection,
    wanted: StrangerFilter,
    order: Order,
    after: StrangerPlace | None,
    limit: int,
) -> tuple[Stranger, ...]:
    query = ordered(connection, wanted, order, after).limit(limit)
    return tuple(map(stranger_of, connection.execute(query)))


def ordered(
    connection: Connection, wanted: StrangerFilter, order: Order, after: StrangerPlace | None
) -> Select[Any]:
    """Those behind a place in that order, which is an index's."""
    columns = [strangers.c[name] for name in ORDERS[order]]
    query = every().where(*_conditions(connection, wanted))
    if after is not None:
        place = [literal(v, c.type) for v, c in zip(after.values, columns, strict=True)]
        query = query.where(tuple_(*columns) < tuple_(*place))
    return query.order_by(*(column.desc() for column in columns))


def _conditions(connection: Connection, wanted: StrangerFilter) -> Iterator[ColumnElement[bool]]:
    of = strangers.c
    if wanted.gateway is not None:
        # By its number, which the indexes begin with.
        query = select(gateways.c.id).where(
            gateways.c.name == wanted.gateway, gateways.c.removed.is_(None)
        )
        yield of.gateway_id == (connection.execute(query).scalar_one_or_none() or 0)
    if wanted.service is not None:
        yield of.service == wanted.service
    if wanted.source is not None:
        first, last = wanted.source.network_address, wanted.source.broadcast_address
        yield of.key.between(key_of_address(first), key_of_address(last))
    if wanted.since is not None:
        yield of.last_seen >= wanted.since
    if wanted.first_before is not None:
        yield of.first_seen < wanted.first_before
    if wanted.dropped_since is not None:
        yield of.last_dropped >= wanted.dropped_since
    if wanted.min_packets is not None:
        yield of.packets >= wanted.min_packets
    if wanted.min_minutes is not None:
        yield of.minutes >= wanted.min_minutes


def covering(connection: Connection, spots: Iterable[Spot], now: datetime) -> dict[Spot, Peer]:
    """Of these sources those that a registration covers, or did until it ended. Of several one
    that lets it in now, then one that will or may; then the longest prefix's, then the first. Of
    those that have ended the last."""
    ended = and_(peers.c.valid_until.is_not(None), peers.c.valid_until <= now)
    # As in _STRENGTH.
    strength = case(
        (peer_rows.in_state(State.ACTIVE, now), 0),
        (peers.c.state == State.PENDING.value, 2),
        (ended, 3),
        else_=1,
    )

    def fetch(wanted: Sequence[bytes], gateway_ids: set[int]) -> Iterator[tuple[int, bytes, Peer]]:
        """Of each prefix the one that counts: of those that have ended there may be very many."""
        query = (
            select(
                peers,
                gateways.c.name.label("gateway"),
                peer_sources.c.key,
                func.row_number()
                .over(
                    partition_by=(peers.c.gateway_id, peer_sources.c.key),
                    order_by=(strength, case((ended, peers.c.valid_until)).desc(), peers.c.id),
                )
                .label("place"),
            )
            .select_from(sources.with_peers())
            .where(
                peer_sources.c.key.in_(wanted),
                peers.c.gateway_id.in_(gateway_ids),
                or_(
                    peers.c.state == State.APPROVED.value,
                    and_(peers.c.state == State.PENDING.value, ~ended),
                ),
            )
            .subquery()
        )
        for row in connection.execute(select(query).where(query.c.place == 1)):
            yield row.gateway_id, row.key, peer_rows.peer_of(row)

    def order(peer: Peer) -> tuple[int, float]:
        state, until = peer.shown(now), peer.valid_until
        ended = until.timestamp() if state is State.EXPIRED and until is not None else 0.0
        return _STRENGTH.index(state), -ended

    # Of those alike min() takes the first.
    return {spot: min(found, key=order) for spot, found in keys.over(spots, fetch).items()}


def count(connection: Connection, gateway_id: int) -> int:
    query = select(func.count()).select_from(strangers).where(strangers.c.gateway_id == gateway_id)
    return connection.execute(query).scalar_one()


def totals(connection: Connection, gateway_id: int) -> dict[date, GatewayTotal]:
    """Packets of strangers by day, the newest first."""
    of = stranger_totals.c
    query = select(stranger_totals).where(of.gateway_id == gateway_id).order_by(of.day.desc())
    return {
        date_of(row.day): GatewayTotal(row.packets, row.samples)
        for row in connection.execute(query)
    }
