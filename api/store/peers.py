"""Rows of peers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    func,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError

from api.errors import ConflictError
from api.records import Bounds, Gateway, Json, ListedPeer, Peer, Proposal, State
from api.store import sources
from api.store.batches import batches as in_batches
from api.store.schema import gateways, peers

_LIVE = (State.PENDING.value, State.APPROVED.value)
_BATCH = 500
_AT_ONCE = 1000


def peer_of(row: Row[Any]) -> Peer:
    return Peer(
        id=row.id,
        gateway=row.gateway,
        name=row.name,
        owner=row.owner,
        contact=row.contact,
        purpose=row.purpose,
        sources=tuple(row.sources),
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        state=State(row.state),
        listed=row.listed,
        version=row.version,
        created=row.created,
        created_by=row.created_by,
        decided=row.decided,
        decided_by=row.decided_by,
        reason=row.reason,
        authors=tuple(row.authors or ()),
        terms=row.terms,
        proposal=None if row.proposal is None else _proposal(row.proposal),
        changed=row.changed,
        bounds=None if row.bounds is None else Bounds.of(row.bounds),
        here=tuple(row.here or ()),
        moved=row.moved,
    )


def _proposal(kept: Json) -> Proposal:
    return Proposal(**kept | {"proposed": datetime.fromisoformat(kept["proposed"])})


def _kept(proposal: Proposal) -> Json:
    return asdict(proposal) | {"proposed": proposal.proposed.isoformat()}


def every() -> Select[Any]:
    return (
        select(peers, gateways.c.name.label("gateway"))
        .join(gateways, gateways.c.id == peers.c.gateway_id)
        .order_by(peers.c.id)
    )


def _lives() -> ColumnElement[bool]:
    """As the index of live names has it: with parameters, SQLite would not use that."""
    return peers.c.state.in_(bindparam("live", _LIVE, expanding=True, literal_execute=True))


def in_state(state: State, now: datetime) -> ColumnElement[bool]:
    """`approved` is everyone approved; `active` and `expired` are parts of them."""
    ended = and_(peers.c.valid_until.is_not(None), peers.c.valid_until <= now)
    approved = peers.c.state == State.APPROVED.value
    if state is State.EXPIRED:
        return and_(approved, ended)
    if state is State.ACTIVE:
        begun = or_(peers.c.valid_from.is_(None), peers.c.valid_from <= now)
        return and_(approved, begun, ~ended)
    return peers.c.state == state.value


def find(connection: Connection, number: int) -> Peer | None:
    row = connection.execute(every().where(peers.c.id == number)).one_or_none()
    return None if row is None else peer_of(row)


def find_live(connection: Connection, gateway: str, name: str) -> Peer | None:
    """The one peer of this name that is pending or approved."""
    query = every().where(gateways.c.name == gateway, peers.c.name == name, _lives())
    row = connection.execute(query).one_or_none()
    return None if row is None else peer_of(row)


def live(connection: Connection) -> tuple[Peer, ...]:
    """Everyone pending or approved."""
    return tuple(peer_of(row) for row in connection.execute(every().where(_lives())))


def batches(connection: Connection, state: State | None = None) -> Iterator[tuple[Peer, ...]]:
    """All peers by id, or those of a kept state, a few at a time."""
    query = every().limit(_BATCH)
    if state is not None:
        query = query.where(peers.c.state == state.value)
    after = 0
    while batch := tuple(
        peer_of(row) for row in connection.execute(query.where(peers.c.id > after))
    ):
        yield batch
        after = batch[-1].id


def _at(names: Set[str] | None) -> ColumnElement[bool]:
    return true() if names is None else gateways.c.name.in_(sorted(names))


def listed_rows(
    connection: Connection, at: Set[str] | None = None
) -> Iterator[Sequence[ListedPeer]]:
    """As `listed`, in little time and memory: some at a time as they are asked for."""
    query = (
        select(
            peers.c.id,
            gateways.c.name.label("gateway"),
            peers.c.name,
            peers.c.owner,
            peers.c.contact,
            peers.c.purpose,
            # As it stands: nobody here looks into it.
            cast(peers.c.sources, Text).label("sources"),
            peers.c.valid_from,
            peers.c.valid_until,
        )
        .join(gateways, gateways.c.id == peers.c.gateway_id)
        .where(peers.c.listed, _at(at))
        .order_by(peers.c.id)
    )
    streamed = connection.execute(query, execution_options={"yield_per": _AT_ONCE})
    for rows in streamed.partitions():
        yield list(map(ListedPeer._make, rows))


def listed(connection: Connection, at: Set[str] | None = None) -> Iterator[Peer]:
    """Everyone in the allowlist, or in its part at some gateways."""
    query = every().where(peers.c.listed, _at(at))
    yield from (peer_of(row) for row in connection.execute(query))


def numbers_at(connection: Connection, at: Set[str]) -> Iterator[int]:
    """Ids of those in the allowlist at some gateways."""
    query = (
        select(peers.c.id)
        .join(gateways, gateways.c.id == peers.c.gateway_id)
        .where(peers.c.listed, _at(at))
    )
    yield from connection.execute(query).scalars()


def more_at(connection: Connection, at: Set[str], than: int) -> bool:
    """Whether more are in the allowlist at these gateways, all together."""
    if not at:
        return False
    query = (
        select(peers.c.id)
        .join(gateways, gateways.c.id == peers.c.gateway_id)
        .where(peers.c.listed, _at(at))
    )
    some = query.limit(than + 1).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one() > than


def among(connection: Connection, numbers: Iterable[int]) -> Iterator[Peer]:
    """Those of these ids, in whatever state."""
    wanted = sorted(numbers)
    for some in in_batches(wanted, _BATCH):
        query = every().where(peers.c.id.in_(some))
        yield from (peer_of(row) for row in connection.execute(query))


def ended(connection: Connection, before: datetime, after: int, limit: int) -> tuple[Peer, ...]:
    """Peers in the allowlist whose validity ended before a moment, or at it; by id."""
    query = every().where(peers.c.listed, peers.c.valid_until <= before, peers.c.id > after)
    return tuple(peer_of(row) for row in connection.execute(query.limit(limit)))


def unlist(connection: Connection, numbers: Sequence[int]) -> None:
    for some in in_batches(numbers, _BATCH):
        connection.execute(update(peers).where(peers.c.id.in_(some)).values(listed=False))


def expiring(
    connection: Connection, after: tuple[datetime, int], until: datetime, limit: int
) -> tuple[Peer, ...]:
    """Approved peers by their end and id, of those behind `after` and up to `until`."""
    end, number = after
    query = (
        every()
        .order_by(None)
        .order_by(peers.c.valid_until, peers.c.id)
        .where(peers.c.listed, peers.c.valid_until >= end, peers.c.valid_until <= until)
        .where(or_(peers.c.valid_until > end, peers.c.id > number))
    )
    return tuple(peer_of(row) for row in connection.execute(query.limit(limit)))


def count_live(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(peers).where(_lives())).scalar_one()


def count_live_at(connection: Connection, gateway: Gateway) -> int:
    query = (
        select(func.count()).select_from(peers).where(peers.c.gateway_id == gateway.id, _lives())
    )
    return connection.execute(query).scalar_one()


def add(connection: Connection, peer: Peer, gateway: Gateway) -> int:
    """The new peer's id; the one in the record does not count."""
    result = connection.execute(
        insert(peers)
        .values(gateway_id=gateway.id, created=peer.created, created_by=peer.created_by)
        .values(**_columns(peer))
        .returning(peers.c.id)
    )
    number: int = result.scalar_one()
    sources.add(connection, {number: peer.sources})
    return number


def newest(connection: Connection) -> int:
    """The highest id that was given; 0 where there is none. Ids are never given twice."""
    return connection.execute(select(func.max(peers.c.id))).scalar_one() or 0


def add_many(
    connection: Connection, fresh: Sequence[Peer], gateway_ids: Mapping[str, int]
) -> tuple[int, ...]:
    """The new peers' ids, in their order. Raises ConflictError where a name is not free."""
    rows = [
        {
            "gateway_id": gateway_ids[peer.gateway],
            "created": peer.created,
            "created_by": peer.created_by,
            **_columns(peer),
        }
        for peer in fresh
    ]
    before = newest(connection)
    try:
        connection.execute(insert(peers), rows)
    except IntegrityError as error:
        raise ConflictError(
            "somebody took one of the names in the meantime: try again, to see which", "name-taken"
        ) from error
    # In their order: writers come one after the other, and each row takes the next id.
    made = select(peers.c.id).where(peers.c.id > before).order_by(peers.c.id)
    numbers = tuple(connection.execute(made).scalars())
    each = zip(numbers, fresh, strict=True)
    sources.add(connection, {number: peer.sources for number, peer in each})
    return numbers


def save_many(
    connection: Connection, changed: Sequence[tuple[Peer, Peer]], *, unnamed: bool = False
) -> None:
    """Each as it is now, and as it was. With `unnamed` they have names that nobody may choose, and
    wait for `name_many`."""
    rows = [{"number": peer.id, **_columns(peer)} for peer, _ in changed]
    if unnamed:
        rows = [row | {"name": f"~{row['number']}"} for row in rows]
    connection.execute(update(peers).where(peers.c.id == bindparam("number")), rows)
    sources.put(connection, (peer for peer, before in changed if peer.sources != before.sources))


def name_many(connection: Connection, names: Mapping[int, str]) -> None:
    """Names, which must be free, by their peers' ids."""
    rows = [{"number": number, "name": name} for number, name in names.items()]
    connection.execute(update(peers).where(peers.c.id == bindparam("number")), rows)


def live_among(
    connection: Connection, names: Mapping[int, Sequence[str]]
) -> dict[tuple[str, str], Peer]:
    """By gateway's name and own name: those of these names, by gateway's id, that live."""
    found: dict[tuple[str, str], Peer] = {}
    for gateway_id, wanted in names.items():
        for some in in_batches(wanted, _BATCH):
            here = peers.c.gateway_id == gateway_id
            query = every().where(here, peers.c.name.in_(some), _lives())
            for row in connection.execute(query):
                found[row.gateway, row.name] = peer_of(row)
    return found


def pending_at(connection: Connection, gateway_ids: Sequence[int]) -> tuple[Peer, ...]:
    """Some of those who wait at these gateways."""
    query = every().where(peers.c.gateway_id.in_(gateway_ids), peers.c.state == State.PENDING.value)
    return tuple(peer_of(row) for row in connection.execute(query.limit(10)))


def save(connection: Connection, peer: Peer) -> None:
    connection.execute(update(peers).where(peers.c.id == peer.id).values(**_columns(peer)))
    sources.put(connection, (peer,))


def _columns(peer: Peer) -> dict[str, Any]:
    """What may change over a peer's life."""
    return {
        "name": peer.name,
        "owner": peer.owner,
        "contact": peer.contact,
        "purpose": peer.purpose,
        "sources": list(peer.sources),
        "valid_from": peer.valid_from,
        "valid_until": peer.valid_until,
        "state": peer.state.value,
        "listed": peer.listed,
        "version": peer.version,
        "decided": peer.decided,
        "decided_by": peer.decided_by,
        "reason": peer.reason,
        "authors": list(peer.authors),
        "terms": peer.terms,
        "proposal": None if peer.proposal is None else _kept(peer.proposal),
        "changed": peer.changed,
        "bounds": None if peer.bounds is None else asdict(peer.bounds),
        "here": list(peer.here),
        "moved": peer.moved,
    }
