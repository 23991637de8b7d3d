"""Packets at a gateway over time, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

# Of a long time few steps are kept, of the last hours many: seconds of a step, and how long it is.
KEPT = {60: timedelta(hours=3), 600: timedelta(hours=24)}
# What sums stop at, as of strangers.
MOST = 2**53


@dataclass(frozen=True, slots=True)
class Count:
    packets: int = 0
    octets: int = 0

    def __add__(self, more: "Count") -> "Count":
        return Count(self.packets + more.packets, self.octets + more.octets)

    def part(self, begin: float, end: float) -> "Count":
        """What lies between these parts of it, from 0 to 1: neighbours add up to the whole."""
        return Count(
            int(self.packets * end) - int(self.packets * begin),
            int(self.octets * end) - int(self.octets * begin),
        )


# By name, as the data plane calls its counters: `unregistered_drop`.
Counts = Mapping[str, Count]


@dataclass(frozen=True, slots=True)
class Rates:
    """What came to a gateway, at all routers together, in steps from `start` on, the last one of
    which is not over. `total`: since the registry knows the gateway's routers."""

    start: datetime
    seconds: int
    steps: tuple[Counts, ...]
    total: Counts
