"""A loaded program with registrations in its maps, asked through both entry points."""

import time
from dataclasses import dataclass, replace
from ipaddress import ip_network

from control.columns import SourceKey
from control.dataplane import DataPlane
from control.entries import Entry
from control.model import Count, Tables, Target
from control.plan import difference
from policy.services import parse_service
from policy.window import FOREVER_NS

NOW = 1_800_000_000 * 10**9  # in 2027
HOUR = 3600 * 10**9

ENFORCE = (0, FOREVER_NS)
MONITOR = (0, 0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a frame. `gateway` is a number."""

    verdict: str
    action: str = "pass"
    gateway: int | None = None
    peer: int | None = None


OTHER = Outcome("other")
BYSTANDER = Outcome("bystander")


def entries(gateway: int, *rows: tuple[str, Entry]) -> dict[SourceKey, Entry]:
    """Sources at a gateway, each with its prefix's own length."""
    networks = [(ip_network(prefix), entry) for prefix, entry in rows]
    return {(gateway, n): replace(entry, prefix_length=n.prefixlen) for n, entry in networks}


def target(*offers: tuple[int, str], later: int = 0) -> Target:
    """The services of an address, each (gateway's number, service)."""
    offered = [(service, number) for number, text in offers for service in parse_service(text)]
    return Target(tuple(sorted(offered)), later)


class Bench:
    """Both entry points of one program; every frame must be judged alike and counted once."""

    def __init__(self, plane: DataPlane) -> None:
        self.plane = plane
        self._held = Tables()

    def hold(self, tables: Tables) -> None:
        """Make the maps hold `tables` and nothing else."""
        self.plane.apply(difference(self._held, tables))
        self._held = tables

    def judge(self, frame: bytes, now: int = NOW) -> Outcome:
        """Keep windows' ends a second or more away from `now`: the live clock goes on."""
        before = self.plane.counters()
        said = self.plane.explain(frame, now)
        assert self.plane.counters() == before, "the explaining entry point counts"
        self.plane.set_clock(now - time.monotonic_ns())
        action = self.plane.run(frame)
        assert action == said.action, f"live {action}, explained {said}"
        counted = _added(before, self.plane.counters())
        assert counted == {(said.gateway or 0, f"{said.verdict}_{action}"): Count(1, len(frame))}, (
            f"explained {said}"
        )
        return Outcome(said.verdict, action, said.gateway, said.entry.peer if said.entry else None)


Counters = dict[int, dict[str, Count]]


def _added(before: Counters, after: Counters) -> dict[tuple[int, str], Count]:
    added = {}
    for number, counts in after.items():
        for name, count in counts.items():
            old = before[number][name]
            if count != old:
                added[number, name] = Count(count.packets - old.packets, count.bytes - old.bytes)
    return added
