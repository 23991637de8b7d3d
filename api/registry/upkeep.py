"""What time does to a registry, without anybody asking."""

from dataclasses import replace
from datetime import timedelta

from api.registry import events, rates, sessions, stranger_reports
from api.registry.core import ITSELF, Registry
from api.store import events as event_rows
from api.store import heads, log, peers, reminders, replays

# In one transaction, so that no writer waits for the end of a million.
_AT_ONCE = 1000


def upkeep(registry: Registry, replay_kept: timedelta) -> None:
    """Takes long-ended peers out of the allowlist; forgets old answers, events, changes,
    strangers, sessions and rates."""
    after: int | None = 0
    while after is not None:
        after = _unlist(registry, after)
    with registry.write(ITSELF, "old answers and events are forgotten") as write:
        replays.forget(write.connection, write.now - replay_kept)
        reminders.forget(write.connection, write.now - write.ended_kept)
        event_rows.forget(write.connection, write.now - events.KEPT_FOR, events.KEPT)
    while _forget_changes(registry):
        pass
    stranger_reports.forget(registry)
    sessions.forget(registry)
    rates.forget(registry)


def _forget_changes(registry: Registry) -> bool:
    """Whether there may be more of those that nobody can ask for any more."""
    with registry.aside(ITSELF.name) as aside:
        floor = heads.head(aside.connection).floor
        return log.forget(aside.connection, floor, _AT_ONCE)


def _unlist(registry: Registry, after: int) -> int | None:
    """The next ones by id; the last of these, or None after the last of all."""
    with registry.write(ITSELF, "long-ended peers leave the allowlist") as write:
        ended = peers.ended(write.connection, write.now - write.ended_kept, after, _AT_ONCE)
        going = ended
        if (rollout := write.head.rollout) is not None:
            # Nobody confirms what only forgets. But it would take along what waits of a peer.
            write.urgent = True
            waiting = log.waiting_among(
                write.connection, rollout.released, [peer.id for peer in ended]
            )
            going = tuple(peer for peer in ended if peer.id not in waiting)
        peers.unlist(write.connection, [peer.id for peer in going])
        for peer in going:
            write.touch_peer(peer.id, peer)
            write.record("peer.unlist", f"peer/{peer.id}", peer, replace(peer, listed=False))
    return ended[-1].id if len(ended) == _AT_ONCE else None
