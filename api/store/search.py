"""Pages of peers: filtered, sorted, and stable whatever is registered meanwhile."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, literal, tuple_

from api.records import Peer, PeerFilter, Place, Sort
from api.store import sources
from api.store.peers import every, in_state, peer_of
from api.store.schema import gateways, peers


def page(
    connection: Connection,
    wanted: PeerFilter,
    sort: Sort,
    after: Place | None,
    now: datetime,
    limit: int,
) -> tuple[Peer, ...]:
    """Peers behind a place in that order. No end counts as the latest end."""
    found: list[Peer] = []
    for query in parts(wanted, sort, after, now):
        found += map(peer_of, connection.execute(query.limit(limit - len(found))))
        if len(found) == limit:
            break
    return tuple(found)


def parts(
    wanted: PeerFilter, sort: Sort, after: Place | None, now: datetime
) -> Iterator[Select[Any]]:
    """One query, or two of which the second goes on where the first ends. Each is in the order of
    an index, which NULLs and values together would not be."""
    columns = (peers.c.id,) if sort.field == "id" else (peers.c[sort.field], peers.c.id)
    order = [column.desc() if sort.descending else column for column in columns]
    for part in _parts(sort, after):
        yield every().order_by(None).where(*part, *_conditions(wanted, now)).order_by(*order)


def _parts(sort: Sort, after: Place | None) -> Iterator[list[ColumnElement[bool]]]:
    """What is behind the place, as one or two conditions, one after the other."""
    column = peers.c[sort.field]
    # The others always have a value.
    open_ended = sort.field == "valid_until"
    kinds = [False, True] if open_ended else [False]
    if sort.descending:
        kinds.reverse()
    if after is not None:
        kinds = kinds[kinds.index(after.value is None) :]
    for number, null in enumerate(kinds):
        conditions: list[ColumnElement[bool]] = []
        if open_ended:
            conditions.append(column.is_(None) if null else column.is_not(None))
        if after is not None and number == 0:
            conditions.append(_behind(sort, after, null))
        yield conditions


def _behind(sort: Sort, after: Place, null: bool) -> ColumnElement[bool]:
    place: ColumnElement[Any] = literal(after.id, peers.c.id.type)
    ordered: ColumnElement[Any] = peers.c.id
    if sort.field != "id" and not null:
        column = peers.c[sort.field]
        ordered = tuple_(column, peers.c.id)
        place = tuple_(literal(after.value, column.type), place)
    return ordered < place if sort.descending else ordered > place


def _conditions(wanted: PeerFilter, now: datetime) -> Iterator[ColumnElement[bool]]:
    if wanted.gateway is not None:
        yield gateways.c.name == wanted.gateway
    if wanted.state is not None:
        yield in_state(wanted.state, now)
    for column, text in ((peers.c.owner, wanted.owner), (peers.c.contact, wanted.contact)):
        if text is not None:
            yield column == text
    if wanted.name_prefix is not None:
        # Of what names are made of, nothing is behind ~.
        yield peers.c.name.between(wanted.name_prefix, wanted.name_prefix + "~")
    if wanted.source is not None:
        yield sources.overlapping(wanted.source)
    if wanted.ends_before is not None:
        yield peers.c.valid_until < wanted.ends_before
    if wanted.ends_after is not None:
        yield peers.c.valid_until >= wanted.ends_after
    if wanted.created_since is not None:
        yield peers.c.created >= wanted.created_since
    if wanted.changed_since is not None:
        yield peers.c.changed >= wanted.changed_since
    if wanted.proposed:
        yield peers.c.proposal.is_not(None)
        yield peers.c.proposal["declined"].as_string().is_(None)
