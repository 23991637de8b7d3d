"""How many entries the maps hold of each kind and state, counted in short steps."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from control.columns import Rows
from control.hashing import HOSTS4, HOSTS6
from control.sizes import GATEWAYS_MAX

# What packets of the source are now: registered, unregistered (before its first window), expired.
STATES = ("active", "future", "expired")
KINDS = ("host", "prefix")
# Seconds ahead in which an active entry ends.
SOON = {"24h": 24 * 3600, "7d": 7 * 24 * 3600}


@dataclass(slots=True)
class Tally:
    """Of gateways' own entries, not those of groups that share an address."""

    entries: dict[tuple[str, str], int] = field(
        default_factory=lambda: {(kind, state): 0 for kind in KINDS for state in STATES}
    )
    expiring: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SOON, 0))

    def count(self, parts: Iterable[Rows], now: int) -> Iterator[None]:
        """`parts`: rows of struct pg_entry. `now` in ns since 1970."""
        for rows in parts:
            self._add(rows[rows["key"]["gateway"] <= GATEWAYS_MAX], np.uint64(max(now, 0)))
            yield

    def _add(self, rows: Rows, now: np.uint64) -> None:
        begun, over = rows["valid_from"] <= now, rows["valid_until"] <= now
        host = np.isin(rows["key"]["class"], (HOSTS4, HOSTS6))
        active = begun & ~over
        # Between two windows: an earlier one has ended.
        future = ~begun & ~over & (rows["ended"] == 0)
        found = {"active": active, "future": future, "expired": ~active & ~future}
        for (kind, state), count in self.entries.items():
            chosen = found[state] & (host if kind == "host" else ~host)
            self.entries[kind, state] = count + int(np.count_nonzero(chosen))
        left = rows["valid_until"][active] - now
        for name, seconds in SOON.items():
            self.expiring[name] += int(np.count_nonzero(left <= np.uint64(seconds * 10**9)))
