"""What routers follow: a snapshot, and the changes after a revision."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from api.errors import ConflictError, GoneError
from api.records import Gateway, Head, Peer, Point
from api.registry.assigned import View
from api.registry.core import Read
from api.store import gateways, log, peers, routers

# Changes that are told one by one, at most.
MOST = 50_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole allowlist at one revision, as far as it may be seen."""

    registry: str
    revision: int
    time: datetime
    gateways: tuple[Gateway, ...]
    peers: tuple[Peer, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """The newest state of all that changed after a revision; None is gone."""

    registry: str
    after: int
    revision: int
    time: datetime
    gateways: Mapping[str, Gateway | None]
    peers: Mapping[int, Peer | None]


def view(read: Read, router: str | None, revision: int | None = None) -> View:
    """What a router sees at a revision, or would have seen; None is whoever sees everything.

    Without a revision it is the head's. Raises ConflictError, GoneError.
    """
    head = read.head
    if revision is None:
        revision = head.revision
    _check_reach(head, revision)
    assigned = read.assignments.at(read.connection, head, revision)
    if router is None:
        return assigned.everyone.everything
    found = routers.find(read.connection, router)
    seen = assigned.view(router, {} if found is None else found.labels)
    # Of a release long ago, what came before it may be forgotten already.
    if revision < head.revision:
        _check_reach(head, seen.point.surely)
    return seen


def snapshot(read: Read, now: View) -> Snapshot:
    state = _State(read, now)
    return Snapshot(
        registry=read.head.registry,
        revision=now.point.revision,
        time=read.now,
        gateways=tuple(state.gateways()),
        peers=tuple(state.peers()),
    )


def changes(read: Read, then: View, now: View) -> Changes:
    """What makes of one view another, later one."""
    if then == now:
        return _changes(read, then, now, {}, {})
    if log.touches_more(read.connection, then.point.surely, MOST):
        raise GoneError(
            f"more than {MOST} changes since then: a snapshot is shorter, fetch one",
            "snapshot-required",
        )
    names, numbers = log.differing(read.connection, then.point, now.point)
    state = _State(read, now)
    come, gone = now.gateways - then.gateways, then.gateways - now.gateways
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

    def peers(self) -> Iterator[Peer]:
        # In an earlier state, somebody who was let in urgently may be at a gateway of later.
        every = self._view.whole and self._is_head
        return self._peers_at(None if every else self._view.gateways)

    def peers_at(self, names: Set[str]) -> Iterator[Peer]:
        """Everyone in the allowlist at these gateways."""
        return self._peers_at(names)

    def _peers_at(self, names: Set[str] | None) -> Iterator[Peer]:
        earlier = self._earlier.peers
        for peer in peers.listed(self._connection, names):
            if peer.id not in earlier:
                yield peer
        for before in earlier.values():
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


def _check_reach(head: Head, after: int) -> None:
    if after > head.revision:
        raise ConflictError(
            f"revision {after} is ahead of this registry, which is at {head.revision}: it was "
            "restored from a backup. Report the revision, then fetch a snapshot",
            "revision-ahead",
        )
    if after < head.floor:
        raise GoneError(
            f"changes are kept from revision {head.floor} on: fetch a snapshot",
            "snapshot-required",
        )
