"""The compiled program in the kernel, asked in the model's words."""

from collections import Counter
from dataclasses import replace
from datetime import datetime
from functools import cache

from control.dataplane import DataPlane
from control.model import Allowlist, Tables
from control.plan import difference, resolve
from control.sizes import Sizes
from policy.window import to_ns
from tests.differential.model import Verdict

SIZES = Sizes.room_for(1024, 1024, 64)
SHORTEST = 14  # BPF_PROG_TEST_RUN refuses less: such frames are neither run nor counted.

# (gateway, verdict_action, "packets" or "bytes") -> how many
Counted = Counter[tuple[str | None, str, str]]


def numbers(allowlist: Allowlist) -> dict[str, int]:
    """Ascending as the model counts the gateways, with gaps."""
    return {gateway.name: 5 * i + 2 for i, gateway in enumerate(allowlist.gateways)}


@cache
def tables_of(allowlist: Allowlist, now: datetime) -> Tables:
    # Given in the other order, so that only the numbers say which gateway is the lowest.
    turned = replace(allowlist, gateways=allowlist.gateways[::-1])
    return resolve(turned, numbers(allowlist), to_ns(now))


class Program:
    """One loaded program, whose maps hold one policy as of one moment."""

    def __init__(self, plane: DataPlane) -> None:
        self.plane = plane
        self.tables = Tables()

    def hold(self, allowlist: Allowlist, now: datetime) -> None:
        """Make the maps hold `allowlist` as an agent resolves it at `now`, by differences."""
        wanted = tables_of(allowlist, now)
        self.plane.apply(difference(self.tables, wanted))
        self.tables = wanted

    def explain(self, frame: bytes, now: datetime) -> Verdict:
        said = self.plane.explain(frame, to_ns(now))
        return Verdict(
            verdict=said.verdict,
            action=said.action,
            gateway=None if said.gateway is None else self.tables.gateways[said.gateway].name,
            peer=None if said.entry is None else said.entry.peer,
        )

    def counted(self) -> Counted:
        """All counters that are not zero."""
        found: Counted = Counter()
        for number, counts in self.plane.counters().items():
            name = self.tables.gateways[number].name if number else None
            for counter, count in counts.items():
                found[name, counter, "packets"] += count.packets
                found[name, counter, "bytes"] += count.bytes
        return +found
