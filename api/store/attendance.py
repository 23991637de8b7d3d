"""A gateway's peers at a moment: how many pass, and which of them no router has ever seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from api.records import Peer, State
from api.store.peers import every, in_state, peer_of
from api.store.schema import peers, sightings


@dataclass(frozen=True, slots=True)
class Attendance:
    """Numbers of peers. `active` pass at that moment; of them `seen` were ever seen, and `lately`
    since another moment. `later` begin after it, and `ended` ended before it, or at it."""

    active: int
    seen: int
    lately: int
    later: int
    pending: int
    ended: int


def count(connection: Connection, gateway_id: int, at: datetime, since: datetime) -> Attendance:
    active = in_state(State.ACTIVE, at)
    kinds = {
        "active": active,
        "seen": and_(active, sightings.c.seen.is_not(None)),
        "lately": and_(active, sightings.c.seen >= since),
        "later": and_(in_state(State.APPROVED, at), ~_begun(at), ~in_state(State.EXPIRED, at)),
        "pending": in_state(State.PENDING, at),
        "ended": _ended(at),
    }
    query = (
        select(*(func.count().filter(kind).label(name) for name, kind in kinds.items()))
        .select_from(peers)
        .outerjoin(sightings, sightings.c.peer_id == peers.c.id)
        .where(peers.c.gateway_id == gateway_id)
    )
    return Attendance(**connection.execute(query).one()._mapping)


def never_seen(
    connection: Connection, gateway_id: int, at: datetime, limit: int
) -> tuple[Peer, ...]:
    """Of those that pass then, by id."""
    unseen = and_(in_state(State.ACTIVE, at), sightings.c.seen.is_(None))
    return tuple(peer for peer, _ in _found(connection, gateway_id, limit, unseen))


def pending(connection: Connection, gateway_id: int, limit: int) -> tuple[Peer, ...]:
    """By id."""
    waits = peers.c.state == State.PENDING.value
    return tuple(peer for peer, _ in _found(connection, gateway_id, limit, waits))


def ended_lately(
    connection: Connection, gateway_id: int, at: datetime, since: datetime, limit: int
) -> tuple[tuple[Peer, datetime], ...]:
    """Those that have ended by then and were seen since a moment, and when: the latest first."""
    order = (sightings.c.seen.desc(), peers.c.id)
    found = _found(connection, gateway_id, limit, _ended(at), sightings.c.seen >= since, by=order)
    return tuple((peer, seen) for peer, seen in found if seen is not None)


def ending(
    connection: Connection,
    gateway_id: int,
    now: datetime,
    at: datetime,
    since: datetime,
    limit: int,
) -> tuple[Peer, ...]:
    """Those that pass now, end by then and were seen since a moment: the latest first."""
    order = (sightings.c.seen.desc(), peers.c.id)
    both = and_(in_state(State.ACTIVE, now), in_state(State.EXPIRED, at))
    found = _found(connection, gateway_id, limit, both, sightings.c.seen >= since, by=order)
    return tuple(peer for peer, _ in found)


def _begun(at: datetime) -> ColumnElement[bool]:
    return or_(peers.c.valid_from.is_(None), peers.c.valid_from <= at)


def _ended(at: datetime) -> ColumnElement[bool]:
    return and_(in_state(State.EXPIRED, at), peers.c.listed)


def _found(
    connection: Connection,
    gateway_id: int,
    limit: int,
    *conditions: ColumnElement[bool],
    by: Sequence[ColumnElement[Any]] = (peers.c.id,),
) -> Iterator[tuple[Peer, datetime | None]]:
    query = (
        every()
        .add_columns(sightings.c.seen)
        .outerjoin(sightings, sightings.c.peer_id == peers.c.id)
        .where(peers.c.gateway_id == gateway_id, *conditions)
        .order_by(None)
        .order_by(*by)
        .limit(limit)
    )
    for row in connection.execute(query):
        yield peer_of(row), row.seen
