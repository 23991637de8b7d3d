"""What time does to a registry, without anybody asking."""

from dataclasses import replace
from datetime import timedelta

from api.records import Actor
from api.registry import events
from api.registry.core import Registry
from api.store import events as event_rows
from api.store import peers, reminders, replays


def upkeep(registry: Registry, replay_kept: timedelta) -> None:
    """Takes long-ended peers out of the allowlist, and forgets old answers and events."""
    with registry.write(Actor("peergate"), "long-ended peers leave the allowlist") as write:
        for peer in peers.ended(write.connection, write.now - write.ended_kept):
            after = replace(peer, listed=False)
            peers.save(write.connection, after)
            write.touch_peer(peer.id, peer)
            write.record("peer.unlist", f"peer/{peer.id}", peer, after)
        replays.forget(write.connection, write.now - replay_kept)
        reminders.forget(write.connection, write.now - write.ended_kept)
        event_rows.forget(write.connection, write.now - events.KEPT_FOR, events.KEPT)
