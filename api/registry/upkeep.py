"""What time does to a registry, without anybody asking."""

from dataclasses import replace
from datetime import timedelta

from api.registry.core import Registry
from api.store import peers, replays


def upkeep(registry: Registry, replay_kept: timedelta) -> None:
    """Takes long-ended peers out of the allowlist, and forgets old answers."""
    with registry.write("peergate", "long-ended peers leave the allowlist") as write:
        for peer in peers.ended(write.connection, write.now - write.ended_kept):
            peers.save(write.connection, replace(peer, listed=False))
            write.touch_peer(peer.id)
        replays.forget(write.connection, write.now - replay_kept)
