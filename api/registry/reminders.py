"""Peers that end soon, and those that have ended, are told of: each end once for each threshold."""

from collections.abc import Sequence

from api.event_types import EventType
from api.registry import peer_events
from api.registry.core import ITSELF, Registry
from api.store import peers, reminders
from api.store.reminders import End

# So many at a time: the others' changes wait meanwhile.
_BATCH = 1000


def remind(registry: Registry, days: Sequence[int]) -> None:
    """Whichever process comes first tells of it.

    Of several thresholds that a peer is past already, the last one is told of.
    """
    thresholds = sorted({0, *days})
    for at, threshold in enumerate(thresholds):
        while _is_due(registry, threshold):
            _tell(registry, threshold, thresholds[at + 1 :])


def _is_due(registry: Registry, days: int) -> bool:
    with registry.read() as read:
        return bool(reminders.due(read.connection, read.now, days, 1))


def _tell(registry: Registry, days: int, passed: Sequence[int]) -> None:
    # One after the other, with all changes: what is told is what is in force.
    with registry.write(ITSELF, "reminders") as write:
        found = reminders.due(write.connection, write.now, days, _BATCH)
        done = [End(e.peer, e.end, each) for e in found for each in (days, *passed)]
        if done:
            reminders.add(write.connection, done)
        type_ = EventType.PEER_EXPIRING if days else EventType.PEER_EXPIRED
        for end in found:
            peer = peers.find(write.connection, end.peer)
            if peer is not None:
                write.tell(type_, peer.id, peer_events.shown(peer) | {"days": days})
