"""What a release of what waits would do to the routers that do not have it yet."""

from collections.abc import Iterator

from api.records import Gateway, Peer, Point
from api.registry.core import Read
from api.registry.foreseen import Foreseen
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
    for before, gateway in _gateways(read, then, after):
        found.note(before, gateway)
    for number, was, will in _peers(read, then, after):
        found.note_apart(number, was, will)
    return found


def _gateways(
    read: Read, then: Point, after: Point
) -> Iterator[tuple[Gateway | None, Gateway | None]]:
    was = log.undone(read.connection, then, log.GATEWAY).gateways
    later = log.undone(read.connection, after, log.GATEWAY).gateways
    held = {gateway.name: gateway for gateway in gateway_rows.named(read.connection, was)}
    for name, before in was.items():
        will = later.get(name, held.get(name))
        if before is not None or will is not None:
            yield before, will


def _peers(read: Read, then: Point, after: Point) -> Iterator[tuple[int, Peer | None, Peer | None]]:
    undone = log.PeersUndone(read.connection, then)
    later = log.undone(read.connection, after, log.PEER).peers
    for places in batches(range(len(undone.numbers)), _AT_ONCE):
        was = undone.before(places)
        for held in peer_rows.among(read.connection, was):
            yield held.id, was[held.id], later.get(held.id, held)
