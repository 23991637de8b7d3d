"""What a release of what waits would do to the routers that do not have it yet."""

from collections.abc import Iterator, Mapping, Set

from api.records import Gateway, Peer, Point
from api.registry.core import Read
from api.registry.foreseen import Foreseen
from api.registry.rollback_plan import Plan, Todo
from api.store import gateways as gateway_rows
from api.store import log
from api.store import peers as peer_rows
from api.store.batches import batches

_AT_ONCE = 500


def foresee(read: Read, revision: int) -> Foreseen:
    """What the rest has now, against what it would have once all up to `revision` is released."""
    found = Foreseen(read.now)
    rollout = read.head.rollout
    if rollout is None:
        return found
    then = Point(read.head.revision, rollout.released)
    after = Point(read.head.revision, revision)
    later = log.undone(read.connection, after, log.GATEWAY).gateways
    for before, gateway in _gateways(read, then, later):
        found.note(before, gateway)
    for number, was, will in _peers(read, then, after):
        found.note_apart(number, was, will)
    return found


def foresee_rollback(read: Read, plan: Plan) -> Foreseen | None:
    """What an urgent one would do to the rest, which goes from what it has to the state that is
    gone back to. None without a staged roll-out: then all routers are alike."""
    rollout = read.head.rollout
    if rollout is None:
        return None
    found = Foreseen(read.now)
    then = Point(read.head.revision, rollout.released)
    for before, gateway in _gateways(read, then, plan.gateways.outcome):
        found.note(before, gateway)
    undone = log.PeersUndone(read.connection, then)
    for places in batches(range(len(undone.numbers)), _AT_ONCE):
        was = undone.before(places)
        for now, after in plan.outcomes(was):
            found.note_apart(now.id, was[now.id], after)
    for todo in (Todo.REVOKE, Todo.RENAME, Todo.RESTORE):
        for some in plan.peers(todo):
            for now, after in some:
                if undone.place(now.id) is None:
                    found.note(now, after)
    return found


def foresee_stage(read: Read, names: Set[str], *, canary: bool) -> Foreseen:
    """What it would do at these gateways to a router that becomes a canary, or no longer is one."""
    found = Foreseen(read.now)
    rollout = read.head.rollout
    if rollout is None:
        return found
    rest, head = Point(read.head.revision, rollout.released), Point(read.head.revision)
    for was, gateway in _gateways(read, rest, {}):
        there = was or gateway
        if there is not None and there.name in names:
            found.note(*((was, gateway) if canary else (gateway, was)))
    for number, before, now in _peers(read, rest, head):
        if now is None or now.gateway not in names:
            continue
        if canary:
            found.note_apart(number, before, now)
        else:
            found.note(now, before)
    return found


def _gateways(
    read: Read, then: Point, later: Mapping[str, Gateway | None]
) -> Iterator[tuple[Gateway | None, Gateway | None]]:
    """As they are there, and as they would be: where `later` does not say it, as they are now."""
    was = log.undone(read.connection, then, log.GATEWAY).gateways
    named = was.keys() | later.keys()
    held = {gateway.name: gateway for gateway in gateway_rows.named(read.connection, named)}
    for name in sorted(named):
        before, will = was.get(name, held.get(name)), later.get(name, held.get(name))
        if before is not None or will is not None:
            yield before, will


def _peers(read: Read, then: Point, after: Point) -> Iterator[tuple[int, Peer | None, Peer | None]]:
    undone = log.PeersUndone(read.connection, then)
    later = log.undone(read.connection, after, log.PEER).peers
    for places in batches(range(len(undone.numbers)), _AT_ONCE):
        was = undone.before(places)
        for held in peer_rows.among(read.connection, was):
            yield held.id, was[held.id], later.get(held.id, held)
