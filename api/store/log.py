"""Revisions, and what each of them changed: an undo log, from which earlier states are had.

A row says that a subject changed at a revision and what it was before. So what it was at
some revision is told by the first later row, or by its own table where there is none.
"""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import compress, groupby
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    true,
    tuple_,
)

from api.records import Gateway, Json, Peer, Point, Revision, Rollout
from api.store.batches import batches
from api.store.schema import changes, revisions

GATEWAY = "gateway"
PEER = "peer"
ROUTER = "router"
ROLLOUT = "rollout"

_BATCH = 500
_ROWS = 1000

# Kind and subject: a name, or an id in decimal.
Subject = tuple[str, str]
Before = Gateway | Peer | Rollout | Mapping[str, str] | None

_gateway = TypeAdapter(Gateway)
_peer = TypeAdapter(Peer)
_rollout = TypeAdapter(Rollout)


def _written(before: Before) -> Json:
    if isinstance(before, Gateway):
        return _gateway.dump_python(before, mode="json")
    if isinstance(before, Peer):
        return _peer.dump_python(before, mode="json")
    if isinstance(before, Rollout):
        return _rollout.dump_python(before, mode="json")
    return None if before is None else dict(before)


def begin(connection: Connection, revision: int, *, now: datetime, author: str, cause: str) -> None:
    """A revision; what it touched is added after that."""
    connection.execute(
        insert(revisions).values(revision=revision, time=now, author=author, cause=cause)
    )


def add(
    connection: Connection, revision: int, touched: Mapping[Subject, Before], *, urgent: bool
) -> None:
    """What a revision touched, and what that was before."""
    rows = [
        {
            "revision": revision,
            "kind": kind,
            "subject": subject,
            "urgent": urgent,
            "before": _written(before),
        }
        for (kind, subject), before in sorted(touched.items(), key=lambda item: item[0])
    ]
    if rows:
        connection.execute(insert(changes), rows)


def touches_more(connection: Connection, then: Point, now: Point, than: int) -> bool:
    """Whether more is in one of two states alone."""
    some = select(changes.c.subject).where(*_between(then, now)).limit(than + 1).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one() > than


def _between(then: Point, now: Point) -> tuple[ColumnElement[bool], ...]:
    """Of changes, that they are in one of two states alone."""

    def has(point: Point) -> ColumnElement[bool]:
        urgent = and_(changes.c.urgent, changes.c.revision <= point.revision)
        return or_(changes.c.revision <= point.surely, urgent)

    first, last = min(then.surely, now.surely), max(then.revision, now.revision)
    return (
        changes.c.revision > first,
        changes.c.revision <= last,
        changes.c.kind.in_((GATEWAY, PEER)),
        or_(and_(has(then), ~has(now)), and_(has(now), ~has(then))),
    )


def forget(connection: Connection, floor: int, limit: int) -> bool:
    """Some of what changed up to that revision; whether there may be more."""
    key = (changes.c.revision, changes.c.kind, changes.c.subject)
    some = select(*key).where(changes.c.revision <= floor).order_by(*key).limit(limit)
    gone = connection.execute(delete(changes).where(tuple_(*key).in_(some)))
    return gone.rowcount == limit


def is_there(connection: Connection, revision: int) -> bool:
    """Whether this registry made that revision."""
    query = select(revisions.c.revision).where(revisions.c.revision == revision)
    return connection.execute(query).first() is not None


def page(connection: Connection, below: int | None, limit: int) -> tuple[Revision, ...]:
    """The latest first."""
    query = (
        select(revisions)
        .where(true() if below is None else revisions.c.revision < below)
        .order_by(revisions.c.revision.desc())
        .limit(limit)
    )
    return tuple(_revision(row) for row in connection.execute(query))


def _waiting(released: int) -> Select[Any]:
    """Revisions that changed the allowlist and are not released; urgent ones are."""
    # One that waits is enough: a revision may have a million.
    touched = exists().where(
        changes.c.revision == revisions.c.revision,
        changes.c.kind.in_((GATEWAY, PEER)),
        ~changes.c.urgent,
    )
    return select(revisions).where(revisions.c.revision > released, touched)


def waiting_among(connection: Connection, released: int, numbers: Sequence[int]) -> set[int]:
    """Those of these peers of which a change waits for a release."""
    found: set[int] = set()
    for some in batches(numbers, _BATCH):
        query = select(changes.c.subject).where(
            changes.c.kind == PEER,
            changes.c.subject.in_([str(number) for number in some]),
            changes.c.revision > released,
            ~changes.c.urgent,
        )
        found |= {int(subject) for subject in connection.execute(query).scalars()}
    return found


def first_waiting(connection: Connection, released: int) -> int | None:
    """The first revision that changed the allowlist, and was not released with that one."""
    query = (
        select(changes.c.revision)
        .where(changes.c.revision > released, changes.c.kind.in_((GATEWAY, PEER)))
        .where(~changes.c.urgent)
        .order_by(changes.c.revision)
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


def pending(connection: Connection, released: int, limit: int = 100) -> tuple[Revision, ...]:
    """The first of those that wait for a release."""
    query = _waiting(released).order_by(revisions.c.revision).limit(limit)
    return tuple(_revision(row) for row in connection.execute(query))


def last_pending(connection: Connection, released: int, until: datetime) -> int | None:
    """The last of those that were made until then."""
    query = _waiting(released).where(revisions.c.time <= until)
    row = connection.execute(query.order_by(revisions.c.revision.desc()).limit(1)).first()
    return None if row is None else row.revision


def _revision(row: Row[Any]) -> Revision:
    return Revision(row.revision, row.time, row.author, row.cause)


def time_after(connection: Connection, revision: int) -> datetime | None:
    """When the next revision was made; None where there is none."""
    query = (
        select(revisions.c.time)
        .where(revisions.c.revision > revision)
        .order_by(revisions.c.revision)
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


def differing(connection: Connection, then: Point, now: Point) -> tuple[set[str], set[int]]:
    """Names of the gateways and ids of the peers that may differ between two states."""
    query = select(changes.c.kind, changes.c.subject).where(*_between(then, now))
    gateways: set[str] = set()
    peers: set[int] = set()
    for row in connection.execute(query):
        if row.kind == GATEWAY:
            gateways.add(row.subject)
        else:
            peers.add(int(row.subject))
    return gateways, peers


@dataclass(frozen=True, slots=True)
class Undone:
    """What was different in an earlier state, as it was; None was not there."""

    gateways: dict[str, Gateway | None] = field(default_factory=dict)
    peers: dict[int, Peer | None] = field(default_factory=dict)


def undone(connection: Connection, point: Point, *kinds: str) -> Undone:
    """Gateways and peers that changed since that state."""
    found = Undone()
    for (kind, subject), before in _undone(connection, point, kinds or (GATEWAY, PEER)):
        if kind == GATEWAY:
            found.gateways[subject] = None if before is None else _gateway.validate_python(before)
        else:
            found.peers[int(subject)] = None if before is None else _peer.validate_python(before)
    return found


def gateway_at(connection: Connection, point: Point, now: Gateway) -> Gateway | None:
    """The gateway of this name in that state; `now` is the one there is. None was not there."""
    for _, before in _undone(connection, point, (GATEWAY,), now.name):
        return None if before is None else _gateway.validate_python(before)
    return now


def steps_of(
    connection: Connection, gateway: str, since: datetime
) -> tuple[tuple[datetime, Gateway | None], ...]:
    """When a gateway changed since then, and what it was before; the last one first. Of revisions
    whose changes are kept."""
    query = (
        select(revisions.c.time, changes.c.before)
        .join(revisions, revisions.c.revision == changes.c.revision)
        .where(revisions.c.time > since, changes.c.kind == GATEWAY, changes.c.subject == gateway)
        .order_by(changes.c.revision.desc())
    )
    return tuple(
        (row.time, None if row.before is None else _gateway.validate_python(row.before))
        for row in connection.execute(query)
    )


class PeersUndone:
    """Peers that changed since a state, and what they were there: 16 bytes of memory for each of
    their changes, whatever these hold. `mixed`: it has urgent changes without those before them."""

    def __init__(self, connection: Connection, point: Point) -> None:
        self._connection = connection
        numbers, revisions = array("q"), array("q")
        # An urgent change brings its subject as it then was, with all that came before.
        brought: dict[int, int] = {}
        query = (
            select(changes.c.revision, changes.c.subject, changes.c.urgent)
            .where(changes.c.revision > point.surely, changes.c.kind == PEER)
            .order_by(changes.c.revision)
        )
        with connection.execute(query, execution_options={"yield_per": _ROWS}) as rows:
            for revision, subject, urgent in rows:
                number = int(subject)
                if point.has(revision, urgent=urgent):
                    brought[number] = revision
                else:
                    numbers.append(number)
                    revisions.append(revision)
        self.mixed = bool(brought)
        if brought:
            later = [r > brought.get(n, 0) for n, r in zip(numbers, revisions, strict=True)]
            numbers = array("q", compress(numbers, later))
            revisions = array("q", compress(revisions, later))
        # Of each the first one, for they come in their order.
        found, first = np.unique(np.frombuffer(numbers, np.int64), return_index=True)
        self.numbers: Sequence[int] = array("q", found.tobytes())
        self._revisions = array("q", np.frombuffer(revisions, np.int64)[first].tobytes())

    def place(self, number: int) -> int | None:
        """Where in `numbers` a peer is."""
        at = bisect_left(self.numbers, number)
        return at if at < len(self.numbers) and self.numbers[at] == number else None

    def before(self, places: Sequence[int]) -> dict[int, Peer | None]:
        """Of some, by their places in `numbers`; None was not there."""
        place = tuple_(changes.c.revision, changes.c.kind, changes.c.subject)
        query = select(changes.c.subject, changes.c.before).where(
            place.in_([(self._revisions[at], PEER, str(self.numbers[at])) for at in places])
        )
        return {
            int(row.subject): None if row.before is None else _peer.validate_python(row.before)
            for row in self._connection.execute(query)
        }


def labels_before(connection: Connection, revision: int) -> dict[str, dict[str, str] | None]:
    """Of routers whose labels changed since a revision, what they were."""
    rows = _undone(connection, Point(revision), (ROUTER,))
    return {subject: before for (_, subject), before in rows}


def rollout_at(connection: Connection, revision: int, now: Rollout | None) -> Rollout | None:
    """The roll-out's rule at a revision; `now` is the one in force."""
    for _, before in _undone(connection, Point(revision), (ROLLOUT,)):
        return None if before is None else _rollout.validate_python(before)
    return now


def is_new(connection: Connection, point: Point, number: int) -> bool:
    """Whether a peer of now was not there in that state."""
    found = _undone(connection, point, (PEER,), str(number))
    return any(before is None for _, before in found)


def _undone(
    connection: Connection, point: Point, kinds: Collection[str], only: str | None = None
) -> Iterable[tuple[Subject, Json]]:
    query = (
        select(
            changes.c.kind,
            changes.c.subject,
            changes.c.revision,
            changes.c.urgent,
            changes.c.before,
        )
        .where(changes.c.revision > point.surely, changes.c.kind.in_(kinds))
        .where(true() if only is None else changes.c.subject == only)
        .order_by(changes.c.kind, changes.c.subject, changes.c.revision)
    )
    rows = connection.execute(query)
    for subject, steps in groupby(rows, key=lambda row: (row.kind, row.subject)):
        # An urgent change brings its subject as it then was, with all that came before.
        first: Row[Any, Any, Any, Any, Any] | None = None
        for step in steps:
            if point.has(step.revision, urgent=step.urgent):
                first = None
            elif first is None:
                first = step
        if first is not None:
            yield subject, first.before
