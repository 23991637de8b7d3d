"""The sources of all gateways, as pg_find_source() in bpf/sources.h reads them.

One class of sources (hosts and prefixes of each family) is a table of buckets. What finds no
slot in its bucket stands in the map `overflow`.
"""

from collections.abc import Iterator

import numpy as np

from control import hashing
from control.arrays import BpfArray
from control.buckets import Buckets
from control.columns import ENTRY, Rows
from control.errors import MapFullError
from control.hashing import CLASSES, Secret
from control.lengths import Lengths
from control.maps import BpfMap
from control.overflow import Overflow
from control.sizes import CLASSES as CLASS_NAMES
from control.sizes import Counts, Sizes

# Entries that are written at once, or announced in one step of a check.
_A_STEP = 8_192


class Sources:
    """All classes over one set of maps. Rows are of struct pg_entry, keys of struct pg_key."""

    def __init__(
        self,
        arrays: dict[str, BpfArray],
        overflow: BpfMap,
        secret: Secret,
        sizes: Sizes,
        *,
        fresh: bool,
    ) -> None:
        """`fresh`: nothing was ever written there."""
        bits = sizes.bits
        self._overflow = Overflow(overflow)
        self._lengths = Lengths(arrays, secret, sizes)
        firsts = [sum(1 << b for b in bits[:kind]) for kind in CLASSES]
        self._classes = [
            Buckets(kind, bits[kind], firsts[kind], arrays, secret, self._lengths, self._overflow)
            for kind in CLASSES
        ]
        self._adopted = fresh

    def live(self) -> Rows:
        """All entries that packets can find, in no order."""
        return np.concatenate([*(table.live() for table in self._classes), self._overflow.live()])

    def held(self) -> Rows:
        """All entries that were written or adopted, in no order."""
        return np.concatenate([*(table.held() for table in self._classes), self._overflow.held()])

    def find(self, keys: Rows) -> Rows:
        """Of the entries held those with these keys, in no order."""
        found = [np.zeros(0, ENTRY)]
        for table in self._classes:
            mine = keys[keys["class"] == table.kind]
            if len(mine):
                found.append(table.find(mine))
        return np.concatenate(found)

    def seen(self) -> tuple[Rows, Rows]:
        """Peers whose packets came since this was last asked, and their ticks; some twice."""
        found = [self._overflow.seen(), *(table.seen() for table in self._classes)]
        peers, ticks = zip(*found, strict=True)
        return np.concatenate(peers), np.concatenate(ticks)

    def counts(self) -> Counts:
        """How many entries of each class are held."""
        over = self._overflow.counts
        hosts4, prefixes4, hosts6, prefixes6 = (
            table.count + over[table.kind] for table in self._classes
        )
        return hosts4, prefixes4, hosts6, prefixes6

    def in_parts(self) -> Iterator[Rows]:
        """All that are held, some thousand at a time; between two parts anything may be written."""
        yield self._overflow.held()
        for table in self._classes:
            yield from table.in_parts(_A_STEP)

    # Changes

    def write(self, rows: Rows, now: int) -> Rows:
        """Write the entries; those that found no room come back."""
        self.ensure_adopted(now)
        left = [rows[:0]]
        for first in range(0, len(rows), _A_STEP):
            part = rows[first : first + _A_STEP]
            for table in self._classes:
                mine = part[part["key"]["class"] == table.kind]
                if len(mine):
                    left.append(self._write(table, mine, now))
        return np.concatenate(left)

    @staticmethod
    def _write(table: Buckets, rows: Rows, now: int) -> Rows:
        """In turns: what changes stands twice, and what one turn replaced the next may use."""
        left = table.write(rows, now)
        while 0 < len(left) < len(rows):
            rows, left = left, table.write(left, now)
        return left

    def delete(self, keys: Rows, now: int) -> None:
        """Delete what is held under these keys; others are no error."""
        self.ensure_adopted(now)
        for table in self._classes:
            mine = keys[keys["class"] == table.kind]
            if len(mine):
                table.delete(mine)

    def full(self, left: Rows) -> MapFullError:
        """The error that says which class had no room for what `write` gave back."""
        kinds = np.bincount(left["key"]["class"], minlength=len(CLASSES))
        kind = int(np.argmax(kinds))
        limit = self._classes[kind].room
        setting = "max_prefixes" if kind in (hashing.PREFIXES4, hashing.PREFIXES6) else "max_hosts"
        return MapFullError(CLASS_NAMES[kind], limit, limit + int(kinds[kind]), setting)

    # Truth

    def ensure_adopted(self, now: int) -> int:
        """Take the maps as they are, once; what we never write is mended: how much that was."""
        if self._adopted:
            return 0
        self._adopted = True
        self._lengths.take()
        for table in self._classes:
            table.take()
        wrong = self._overflow.adopt() + self._check_overflowed()
        wrong += sum(table.adopt(now) for table in self._classes)
        return wrong + sum(self._check_lengths())

    def check(self, now: int) -> Iterator[int]:
        """Repair what is not as it was written; how many rows were not, of a part at a time.

        Between two steps anything may be written. What packets need not look at any more goes.
        """
        yield self._overflow.check()
        yield self._check_overflowed()
        for table in self._classes:
            yield from table.check(now)
        yield from self._check_lengths()

    def _check_overflowed(self) -> int:
        keys = self._overflow.held()["key"]
        return sum(
            table.check_overflowed(keys[keys["class"] == table.kind]) for table in self._classes
        )

    def _check_lengths(self) -> Iterator[int]:
        self._lengths.start_anew()
        for table in self._classes:
            for rows in table.in_parts(_A_STEP):
                self._lengths.announce(table.kind, rows["key"])
                yield 0
        over = self._overflow.held()["key"]
        for table in self._classes:
            self._lengths.announce(table.kind, over[over["class"] == table.kind])
        yield self._lengths.finish()
