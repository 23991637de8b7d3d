"""What routers follow: a snapshot, and the changes after a revision."""

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from api.errors import ConflictError, GoneError
from api.records import Gateway, Head, ListedPeer, Peer, Point
from api.registry.assigned import Assigned, Labels, View
from api.registry.core import Read
from api.store import arrivals, gateways, log, peers, routers

# Changes that are told one by one, at most.
MOST = 50_000
# By how much the clocks of a registry's processes may differ.
SKEW = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole allowlist at one revision, as far as it may be seen. The peers are read as they
    are asked for, some at a time, while the transaction lasts."""

    registry: str
    revision: int
    time: datetime
    gateways: tuple[Gateway, ...]
    peers: Iterator[Sequence[ListedPeer]]


@dataclass(frozen=True, slots=True)
class Changes:
    """The newest state of all that changed after a revision; None is gone."""

    registry: str
    after: int
    revision: int
    time: datetime
    gateways: Mapping[str, Gateway | None]
    peers: Mapping[int, Peer | None]


@dataclass(frozen=True, slots=True)
class Span:
    """From a revision to the head's, whoever asks: what each reader saw there and sees here.
    `made` is when this registry made the revision, if it did."""

    head: Head
    made: datetime | None
    then: Assigned
    now: Assigned
    labels: Mapping[str, Labels]

    def check_heard(self, heard: datetime | None) -> None:
        """Whether who heard of the revision then heard of this one: after a restore from a backup
        numbers come again, and changes do not lead on from what had them before. Raises GoneError.
        """
        if heard is not None and self.made is not None and heard < self.made - SKEW:
            raise GoneError(
                f"this registry made its revision only after {heard.isoformat()}: it was restored "
                "from a backup since then. Fetch a snapshot",
                "snapshot-required",
            )

    def views(self, router: str | None) -> tuple[View, View]:
        """Of a router, or of whoever sees everything. Raises GoneError."""
        if router is None:
            return self.then.everyone.everything, self.now.everyone.everything
        labels = self.labels.get(router, {})
        then, now = self.then.view(router, labels), self.now.view(router, labels)
        # Of a release long ago, what came before it may be forgotten already.
        if then.point.revision < self.head.revision:
            _check_reach(self.head, then.point.surely, self.head.floor)
        return then, now


def span(read: Read, after: int | None = None) -> Span:
    """Without a revision it is the head alone. Raises ConflictError, GoneError."""
    head = read.head
    revision = head.revision if after is None else after
    _check_reach(head, revision, max(head.floor, head.lifted))
    return Span(
        head=head,
        made=None if after is None else arrivals.made(read.connection, after),
        then=read.assignments.at(read.connection, head, revision),
        now=read.assignments.at(read.connection, head, head.revision),
        labels=routers.labels(read.connection),
    )


def snapshot(read: Read, now: View) -> Snapshot:
    state = _State(read, now)
    return Snapshot(
        registry=read.head.registry,
        revision=now.point.revision,
        time=read.now,
        gateways=tuple(state.gateways()),
        peers=state.listed(),
    )


def changes(read: Read, then: View, now: View) -> Changes:
    """What makes of one view another, later one. Raises GoneError."""
    if then == now:
        return _changes(read, then, now, {}, {})
    _check_reach(read.head, then.point.surely, read.head.floor)
    if log.touches_more(read.connection, then.point, now.point, MOST):
        raise _too_many()
    names, numbers = log.differing(read.connection, then.point, now.point)
    state = _State(read, now)
    come, gone = now.gateways - then.gateways, then.gateways - now.gateways
    if peers.more_at(read.connection, come | gone, MOST):
        raise _too_many()
    changed_gateways: dict[str, Gateway | None] = dict.fromkeys(sorted(gone))
    changed_gateways |= {g.name: g for g in state.gateways_among((names & now.gateways) | come)}
    changed_peers: dict[int, Peer | None] = {}
    if gone:
        changed_peers |= dict.fromkeys(state.numbers_at(gone))
    seen = now.gateways | then.gateways
    for peer in state.peers_among(numbers):
        if peer.gateway in seen:
            listed = peer.listed and peer.gateway in now.gateways
            changed_peers[peer.id] = peer if listed else None
    if come:
        changed_peers |= {peer.id: peer for peer in state.peers_at(come)}
    return _changes(read, then, now, changed_gateways, dict(sorted(changed_peers.items())))


def _changes(
    read: Read,
    then: View,
    now: View,
    gateways: Mapping[str, Gateway | None],
    peers: Mapping[int, Peer | None],
) -> Changes:
    return Changes(
        registry=read.head.registry,
        after=then.point.revision,
        revision=now.point.revision,
        time=read.now,
        gateways=gateways,
        peers=peers,
    )


class _State:
    """The allowlist as a view has it: the tables, less what is not in its state yet."""

    def __init__(self, read: Read, view: View) -> None:
        self._connection = read.connection
        self._view = view
        self._is_head = view.point == Point(read.head.revision)

    @cached_property
    def _earlier(self) -> log.Undone:
        return log.Undone() if self._is_head else log.undone(self._connection, self._view.point)

    def gateways(self) -> Iterator[Gateway]:
        return self.gateways_among(self._view.gateways)

    def gateways_among(self, names: Set[str]) -> Iterator[Gateway]:
        if not names:
            return
        earlier = self._earlier.gateways
        found = {g.name: g for g in gateways.named(self._connection, names - earlier.keys())}
        found |= {n: g for n, g in earlier.items() if g is not None and n in names}
        yield from (found[name] for name in sorted(found))

    def listed(self) -> Iterator[Sequence[ListedPeer]]:
        # In an earlier state, somebody who was let in urgently may be at a gateway of later.
        every = self._view.whole and self._is_head
        names, earlier = None if every else self._view.gateways, self._earlier.peers
        for some in peers.listed_rows(self._connection, names):
            kept = [peer for peer in some if peer.id not in earlier] if earlier else some
            if kept:
                yield kept
        before = [_as_listed(peer) for peer in self._earlier_at(names)]
        if before:
            yield before

    def peers_at(self, names: Set[str]) -> Iterator[Peer]:
        """Everyone in the allowlist at these gateways."""
        earlier = self._earlier.peers
        for peer in peers.listed(self._connection, names):
            if peer.id not in earlier:
                yield peer
        yield from self._earlier_at(names)

    def _earlier_at(self, names: Set[str] | None) -> Iterator[Peer]:
        for before in self._earlier.peers.values():
            if before is not None and (names is None or before.gateway in names):
                yield before

    def numbers_at(self, names: Set[str]) -> Iterator[int]:
        """Whoever is in the allowlist at these gateways, now or in this state."""
        yield from peers.numbers_at(self._connection, names)
        for number, before in self._earlier.peers.items():
            if before is not None and before.gateway in names:
                yield number

    def peers_among(self, numbers: Set[int]) -> Iterator[Peer]:
        """As they are in this state; those that are not in it as they are now, but unlisted."""
        if not numbers:
            return
        earlier = self._earlier.peers
        for peer in peers.among(self._connection, numbers):
            if peer.id in earlier:
                yield earlier[peer.id] or replace(peer, listed=False)
            else:
                yield peer


def _as_listed(peer: Peer) -> ListedPeer:
    return ListedPeer(
        id=peer.id,
        gateway=peer.gateway,
        name=peer.name,
        owner=peer.owner,
        contact=peer.contact,
        purpose=peer.purpose,
        sources=json.dumps(peer.sources),
        valid_from=peer.valid_from,
        valid_until=peer.valid_until,
    )


def _too_many() -> GoneError:
    return GoneError(
        f"more than {MOST} changes since then: a snapshot is shorter, fetch one",
        "snapshot-required",
    )


def _check_reach(head: Head, after: int, floor: int) -> None:
    if after > head.revision:
        raise ConflictError(
            f"revision {after} is ahead of this registry, which is at {head.revision}: it was "
            "restored from a backup. Report the revision, then fetch a snapshot",
            "revision-ahead",
        )
    if after < floor:
        raise GoneError(
            f"changes are kept from revision {floor} on: fetch a snapshot",
            "snapshot-required",
        )
