"""What leads back to an earlier state, told some at a time however much it is."""

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from api.records import Gateway, Peer, Point, State
from api.registry import cutovers, peers
from api.registry.core import Read, Write
from api.registry.foreseen import Foreseen
from api.registry.policy import Difference, differing
from api.store import gateways as gateway_rows
from api.store import log
from api.store import peers as peer_rows
from api.store.batches import batches

# Peers read together, and written.
_AT_ONCE = 500
# Of very many changes the first ones are named.
_NAMED = 1_000

# A peer as it is now, and as it was; None where it was not there.
Pair = tuple[Peer, Peer | None]


class Todo(IntEnum):
    """What is done with a peer. All that get another name give way first."""

    NOTHING = 0
    REVOKE = 1
    RENAME = 2
    RESTORE = 3


@dataclass(frozen=True, slots=True)
class GatewayPlan:
    """Each as it is now and as it was."""

    remove: tuple[Gateway, ...]
    change: tuple[tuple[Gateway, Gateway], ...]
    revive: tuple[Gateway, ...]

    @property
    def count(self) -> int:
        return len(self.remove) + len(self.change) + len(self.revive)

    @property
    def outcome(self) -> dict[str, Gateway | None]:
        """By name, what becomes of each; None is gone."""
        found: dict[str, Gateway | None] = dict.fromkeys(gateway.name for gateway in self.remove)
        found |= {then.name: then for _, then in self.change}
        return found | {gateway.name: gateway for gateway in self.revive}


class Plan:
    """What has to be done with gateways, and with peers, of which it holds a few bytes each.

    `differences` are the first of all `count`; `going` counts by gateway those that are revoked.
    `obstacle` are the ids of one who has a name and keeps it, and of one who would have it again.
    Where `state` foresees, it is told of each.
    """

    def __init__(self, state: Read | Write, point: Point, *, owners: bool) -> None:
        self._state = state
        self._owners = owners
        self._undone = log.PeersUndone(state.connection, point)
        self._todo = bytearray(len(self._undone.numbers))
        self.gateways = _gateways(state, point)
        foreseen = state.foreseen if isinstance(state, Read) else None
        if foreseen is not None:
            _foresee(self.gateways, foreseen)
        self.going: Counter[str] = Counter()
        claims = _Claims(state, self.gateways, mixed=self._undone.mixed)
        back: list[Difference] = []
        gone: list[Difference] = []
        for places in batches(range(len(self._todo)), _AT_ONCE):
            claimed: list[Peer] = []
            for at, (now, then) in zip(places, self._read(places), strict=True):
                self._todo[at] = todo = _todo(now, then)
                if todo is Todo.NOTHING:
                    continue
                if then is None:
                    self.going[now.gateway] += 1
                elif todo is Todo.RENAME or now.state is not State.APPROVED:
                    claimed.append(then)
                named = gone if todo is Todo.REVOKE else back
                if len(named) < _NAMED:
                    named.append(_of_peer(now, then))
                if foreseen is not None:
                    foreseen.note(now, then)
            claims.note(claimed)
        self.differences = (*_of_gateways(self.gateways), *back, *gone)[:_NAMED]
        self.obstacle = claims.obstacle(self._gives_way)

    @property
    def count(self) -> int:
        return self.gateways.count + len(self._todo) - self._todo.count(Todo.NOTHING)

    def peers(self, todo: Todo) -> Iterator[list[Pair]]:
        """Those with which that is done, by id, as they are now."""
        places = array("q", (at for at, each in enumerate(self._todo) if each == todo))
        for some in batches(places, _AT_ONCE):
            yield self._read(some)

    def outcomes(self, numbers: Collection[int]) -> Iterator[Pair]:
        """Any peers, by id: as they are now, and as they would be."""
        places = (self._undone.place(number) for number in numbers)
        was = self._undone.before([at for at in places if at is not None and self._todo[at]])
        for now in peer_rows.among(self._state.connection, numbers):
            there = now.id in was
            yield now, _meant(now, was[now.id], owners=self._owners) if there else now

    def _gives_way(self, number: int) -> bool:
        """Whether this peer does not keep the name that it has now."""
        at = self._undone.place(number)
        return at is not None and self._todo[at] in (Todo.REVOKE, Todo.RENAME)

    def _read(self, places: Sequence[int]) -> list[Pair]:
        was = self._undone.before(places)
        held = peer_rows.among(self._state.connection, was)
        return [(now, _meant(now, was[now.id], owners=self._owners)) for now in held]


class _Claims:
    """Names that go back to who had them, which somebody else may have now."""

    def __init__(self, state: Read | Write, gateways: GatewayPlan, *, mixed: bool) -> None:
        self._connection = state.connection
        self._ids = gateway_rows.ids(state.connection)
        # Nobody is at these yet.
        self._again = {gateway.name for gateway in gateways.revive}
        # Holder and claimant, one after the other.
        self._held = array("q")
        # A state that was never whole, of which parts were urgent, may have a name twice.
        self._given: dict[tuple[str, str], int] | None = {} if mixed else None
        self._twice: tuple[int, int] | None = None

    def note(self, claimed: Sequence[Peer]) -> None:
        names: dict[int, list[str]] = {}
        for peer in claimed:
            if peer.gateway not in self._again:
                names.setdefault(self._ids[peer.gateway], []).append(peer.name)
            if self._given is not None:
                first = self._given.setdefault((peer.gateway, peer.name), peer.id)
                if first != peer.id:
                    self._twice = self._twice or (first, peer.id)
        held = peer_rows.live_among(self._connection, names)
        for peer in claimed:
            holder = held.get((peer.gateway, peer.name))
            if holder is not None and holder.id != peer.id:
                self._held.extend((holder.id, peer.id))

    def obstacle(self, gives_way: Callable[[int], bool]) -> tuple[int, int] | None:
        """Ids of the first who has a name and keeps it, and of who claims it."""
        pairs = zip(self._held[::2], self._held[1::2], strict=True)
        return next((pair for pair in pairs if not gives_way(pair[0])), self._twice)


def _todo(now: Peer, then: Peer | None) -> Todo:
    if then is None:
        return Todo.REVOKE if now.state is State.APPROVED else Todo.NOTHING
    if now.state is not State.APPROVED:
        return Todo.RESTORE
    if now.name != then.name:
        return Todo.RENAME
    return Todo.NOTHING if peers.content(now) == peers.content(then) else Todo.RESTORE


def _gateways(state: Read | Write, point: Point) -> GatewayPlan:
    undone = log.undone(state.connection, point, log.GATEWAY).gateways
    held = {g.name: g for g in gateway_rows.named(state.connection, undone)}
    there = (gateway for gateway in undone.values() if gateway is not None)
    was = cutovers.without_windows(state, there)
    kept = {g.id for g in was if g.name in held and held[g.name].id == g.id}
    return GatewayPlan(
        remove=tuple(gateway for gateway in held.values() if gateway.id not in kept),
        change=tuple(
            (held[then.name], then)
            for then in was
            if then.id in kept and then.spec != held[then.name].spec
        ),
        revive=tuple(then for then in was if then.id not in kept),
    )


def _foresee(found: GatewayPlan, foreseen: Foreseen) -> None:
    again = {gateway.name: gateway for gateway in found.revive}
    for gateway in found.remove:
        foreseen.note(gateway, again.pop(gateway.name, None))
    for gateway in again.values():
        foreseen.note(None, gateway)
    for now, then in found.change:
        foreseen.note(now, then)


def _meant(now: Peer, then: Peer | None, *, owners: bool) -> Peer | None:
    """The peer of then, without what no router ever saw of it.

    What is proposed now waits for an approver, and what was decided is not asked again. Who may
    move sources was not the allowlist's either. With `owners`, what they moved stays.
    """
    if then is None:
        return None
    then = replace(then, proposal=now.proposal)
    if now.state is not State.APPROVED:
        return then
    then = replace(then, bounds=now.bounds)
    if owners and now.bounds is not None:
        then = replace(then, sources=now.sources, here=now.here, moved=now.moved)
    return then


def _of_gateways(found: GatewayPlan) -> Iterator[Difference]:
    for gateway in found.revive:
        yield _gateway("add", gateway.name, None, gateway)
    for now, then in found.change:
        yield _gateway("change", now.name, now, then)
    for gateway in found.remove:
        yield _gateway("remove", gateway.name, gateway, None)


def _of_peer(now: Peer, then: Peer | None) -> Difference:
    if then is None:
        fields = differing(peers.content(now), {})
        return Difference("peer", now.name, now.gateway, "revoke", fields)
    action = "change" if now.state is State.APPROVED else "approve"
    fields = differing(peers.content(now), peers.content(then))
    return Difference("peer", then.name, then.gateway, action, fields)


def _gateway(action: str, name: str, before: Gateway | None, after: Gateway | None) -> Difference:
    def fields(gateway: Gateway | None) -> dict[str, object]:
        return {} if gateway is None else gateway.spec.model_dump(mode="json")

    return Difference("gateway", name, name, action, differing(fields(before), fields(after)))
