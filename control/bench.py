"""The explaining entry point at hand: over the maps of a policy, or over the router's own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from control.dataplane import DataPlane
from control.model import Allowlist, Difference, Sizes
from control.plan import check_room, number_gateways, resolve
from control.replay import Judge
from control.settings import Settings
from policy.window import from_ns, to_ns


@dataclass(frozen=True, slots=True)
class Bench:
    """The program with filled maps, their time, and the gateways' names by number."""

    judge: Judge
    now: datetime
    gateways: dict[int, str]


@contextmanager
def offline(allowlist: Allowlist, now: datetime) -> Iterator[Bench]:
    """Maps of its own, filled as of `now` and attached to nothing. Raises DataPlaneError."""
    tables = resolve(allowlist, {}, to_ns(now))
    hosts = tables.entries.count_hosts()
    sizes = Sizes(
        max_hosts=max(hosts, 1),
        max_prefixes=max(len(tables.entries) - hosts, 1),
        max_gateways=max(len(tables.gateways), 1),
    )
    check_room(tables, sizes)
    with DataPlane.offline(sizes) as plane:
        plane.apply(Difference(write=tables))
        names = number_gateways({}, (gateway.name for gateway in allowlist.gateways))
        yield Bench(plane.explain, now, {number: name for name, number in names.items()})


@contextmanager
def live(settings: Settings) -> Iterator[Bench]:
    """This router's maps as they are, changing nothing. Raises DataPlaneError."""
    with DataPlane.pinned(settings.bpffs, settings.sizes, create=False) as plane:
        names = {number: row.name for number, row in plane.gateways().items()}
        offset = plane.clock()
        # Before an agent has set the clock, the offset is 0.
        now = from_ns(time.monotonic_ns() + offset) if offset else datetime.now(UTC)
        yield Bench(plane.explain, now, names)
