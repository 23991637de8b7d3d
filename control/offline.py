"""An allowlist in a program of its own: attached to nothing, it judges what it is shown."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from control.dataplane import DataPlane
from control.model import Allowlist, Difference, Explanation, Sizes
from control.plan import check_room, number_gateways, resolve
from policy.window import to_ns

# What the explaining entry point says of a frame, at a moment in ns since 1970.
Judge = Callable[[bytes, int], Explanation]


@dataclass(frozen=True, slots=True)
class Bench:
    """The program with an allowlist in its maps, and the gateways' names by number."""

    judge: Judge
    gateways: dict[int, str]


@contextmanager
def bench(allowlist: Allowlist, now: datetime) -> Iterator[Bench]:
    """The compiled program, filled as of `now`. Raises DataPlaneError."""
    tables = resolve(allowlist, {}, to_ns(now))
    hosts = sum(source.prefixlen == source.max_prefixlen for _, source in tables.entries)
    sizes = Sizes(
        max_hosts=max(hosts, 1),
        max_prefixes=max(len(tables.entries) - hosts, 1),
        max_gateways=max(len(tables.gateways), 1),
    )
    check_room(tables, sizes)
    with DataPlane.offline(sizes) as plane:
        plane.apply(Difference(write=tables))
        names = number_gateways({}, (gateway.name for gateway in allowlist.gateways))
        yield Bench(plane.explain, {number: name for name, number in names.items()})
