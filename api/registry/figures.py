"""The registry in numbers, for whoever watches it."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.cutover_records import Cutover
from api.registry.core import Read
from api.registry.standing import Health, standings
from api.store import audit, cutovers, events, figures, gateways, routers
from api.store.figures import PeerCounts

# Strangers that knocked within this time are active.
ACTIVE = timedelta(days=1)
SOON = {"24h": timedelta(days=1), "7d": timedelta(days=7)}


@dataclass(frozen=True, slots=True)
class Figures:
    """`slowest`: how far the router that is furthest behind is, in revisions and in time, of those
    that still report. `enforcing`: by whether they do so now. `cutovers`: those under way, and
    when time makes something else of each."""

    registry: str
    revision: int
    audit_records: int
    events: int
    rollout: bool
    enforcing: dict[bool, int]
    cutovers: tuple[tuple[Cutover, datetime], ...]
    peers: PeerCounts
    strangers: dict[str, int]
    routers: dict[Health, int]
    slowest: tuple[int, timedelta]
    webhooks: dict[str, int]


def figures_of(read: Read) -> Figures:
    connection, now = read.connection, read.now
    found = standings(read, routers.every(connection))
    health = Counter(each.health for each in found)
    reporting = [each for each in found if each.health not in (Health.NEW, Health.SILENT)]
    windows = [each.spec.enforcement for each in gateways.every(connection)]
    enforcing = sum(window is not None and window.has(now) for window in windows)
    return Figures(
        registry=read.head.registry,
        revision=read.head.revision,
        audit_records=audit.head(connection).number,
        events=events.reach(connection).last,
        rollout=read.head.rollout is not None,
        enforcing={True: enforcing, False: len(windows) - enforcing},
        cutovers=tuple(
            (each, step)
            for each in cutovers.under_way(connection)
            if (step := each.next_step(now)) is not None
        ),
        peers=figures.peer_counts(connection, now, tuple(SOON.values())),
        strangers=figures.strangers_since(connection, now - ACTIVE),
        routers={each: health[each] for each in Health},
        slowest=(
            max((each.lag or 0 for each in reporting), default=0),
            max(
                (now - each.behind_since for each in reporting if each.behind_since is not None),
                default=timedelta(0),
            ),
        ),
        webhooks=figures.webhooks_by_state(connection),
    )
