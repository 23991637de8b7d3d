"""Which registered peers packets came from, for the registry: coarse, and each now and then."""

from typing import NamedTuple

import numpy as np

from control.columns import Rows
from policy.window import from_ns, rfc3339

TICK_SHIFT = 40
# So many peers are told of in one request.
AT_ONCE = 20_000
# Ticks, of 18 minutes, before a peer that goes on talking is told of again.
AGAIN_AFTER = 3


class Seen(NamedTuple):
    """Peers' ids, and for each the tick of its last packet, counted since 1970."""

    peers: Rows
    ticks: Rows

    @classmethod
    def nobody(cls) -> "Seen":
        return cls(np.zeros(0, np.uint32), np.zeros(0, np.int64))

    def with_more(self, other: "Seen") -> "Seen":
        """By id, each peer once with the newest of its ticks."""
        peers = np.concatenate([self.peers, other.peers])
        ticks = np.concatenate([self.ticks, other.ticks])
        order = np.lexsort((ticks, peers))
        peers, ticks = peers[order], ticks[order]
        newest = np.ones(len(peers), bool)
        newest[:-1] = peers[1:] != peers[:-1]
        return Seen(peers[newest], ticks[newest])

    def only(self, chosen: Rows | slice) -> "Seen":
        return Seen(self.peers[chosen], self.ticks[chosen])

    def body(self) -> list[dict[str, object]]:
        """As the registry takes it, by time."""
        return [
            {
                "at": rfc3339(from_ns(int(tick) << TICK_SHIFT)),
                "peers": self.peers[self.ticks == tick].tolist(),
            }
            for tick in np.unique(self.ticks)
        ]


class Sightings:
    """What is still to be told, and what was: a peer is told of again some ticks later alone."""

    def __init__(self) -> None:
        self._told = Seen.nobody()
        self._to_tell = Seen.nobody()

    def add(self, seen: Seen) -> None:
        fresh = self._to_tell.with_more(seen)
        known = self._told
        at = np.minimum(np.searchsorted(known.peers, fresh.peers), max(len(known.peers) - 1, 0))
        if len(known.peers):
            again = (known.peers[at] != fresh.peers) | (
                known.ticks[at] + AGAIN_AFTER <= fresh.ticks
            )
            fresh = fresh.only(again)
        self._to_tell = fresh

    def some(self) -> Seen:
        """What comes next; nobody where all is told."""
        return self._to_tell.only(slice(AT_ONCE))

    def told(self, some: Seen) -> None:
        """The registry knows of these, which came next."""
        self._told = self._told.with_more(some)
        self._to_tell = self._to_tell.only(slice(len(some.peers), None))
