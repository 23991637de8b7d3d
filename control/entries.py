"""What the maps hold of sources: single entries at the edges, columns of them everywhere else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from control import columns
from control.columns import ENTRY, Rows, SourceKey
from control.hashing import CLASSES
from control.sizes import Counts
from policy.window import FOREVER_NS


@dataclass(frozen=True, slots=True)
class Entry:
    """Value of `entries`: the window that counts now or next. Times are ns since 1970."""

    peer: int
    prefix_length: int
    valid_from: int = 0
    valid_until: int = FOREVER_NS
    ended: bool = False


class Entries(Mapping[SourceKey, Entry]):
    """Rows of struct pg_entry, one for each key, in the order of `columns.SORTED`.

    As a mapping they can be read one by one; that is for few of them, and for tests.
    """

    __slots__ = ("keys_sorted", "rows")

    def __init__(self, rows: Rows | None = None, keys_sorted: Rows | None = None) -> None:
        """In any order; `keys_sorted` is there only for rows that are in order already."""
        rows = np.zeros(0, ENTRY) if rows is None else rows
        if keys_sorted is None:
            keys_sorted = columns.sortable(columns.place_of(rows["key"]))
            if not (keys_sorted[:-1] <= keys_sorted[1:]).all():
                order = np.argsort(keys_sorted)
                keys_sorted, rows = keys_sorted[order], rows[order]
        self.keys_sorted: Rows = keys_sorted
        self.rows: Rows = rows

    @classmethod
    def of(cls, entries: Mapping[SourceKey, Entry]) -> Self:
        rows = np.zeros(len(entries), ENTRY)
        rows["key"] = columns.key_rows(columns.places(entries))
        values = entries.values()
        rows["peer"] = [entry.peer for entry in values]
        rows["prefix_length"] = [entry.prefix_length for entry in values]
        rows["valid_from"] = np.array([entry.valid_from for entry in values], np.uint64)
        rows["valid_until"] = np.array([entry.valid_until for entry in values], np.uint64)
        rows["ended"] = [entry.ended for entry in values]
        return cls(rows)

    def find(self, keys_sorted: Rows) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where each of these keys stands, and whether it is there at all."""
        at = np.searchsorted(self.keys_sorted, keys_sorted)
        if not len(self.rows):
            return at, np.zeros(len(keys_sorted), bool)
        at = np.minimum(at, len(self.rows) - 1)
        return at, self.keys_sorted[at] == keys_sorted

    def only(self, chosen: Rows) -> "Entries":
        """Those that a column of bools, or of ascending indices, chooses."""
        return Entries(self.rows[chosen], self.keys_sorted[chosen])

    def passing(self, now: int) -> NDArray[np.bool_]:
        """Which of them are inside their window."""
        moment = np.uint64(max(now, 0))
        begun: NDArray[np.bool_] = self.rows["valid_from"] <= moment
        lasts: NDArray[np.bool_] = moment < self.rows["valid_until"]
        return begun & lasts

    def without(self, other: "Entries") -> "Entries":
        """Those whose keys are not among the other's."""
        return self.only(~other.find(self.keys_sorted)[1])

    def changed_from(self, other: "Entries") -> "Entries":
        """Those that the other has not, or has with another value."""
        at, known = other.find(self.keys_sorted)
        return self.only(~known | _differ(self.rows, other.rows, at)) if known.any() else self

    def counts(self) -> Counts:
        """How many of each class there are."""
        found = np.bincount(self.rows["key"]["class"], minlength=len(CLASSES))
        hosts4, prefixes4, hosts6, prefixes6 = found.tolist()
        return hosts4, prefixes4, hosts6, prefixes6

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[SourceKey]:
        place = columns.placed(self.keys_sorted)
        yield from zip(place["gateway"].tolist(), columns.networks(place), strict=True)

    def __getitem__(self, key: SourceKey) -> Entry:
        at, known = self.find(columns.sortable(columns.places([key])))
        if not known[0]:
            raise KeyError(key)
        row = self.rows[at[0]]
        return Entry(
            peer=int(row["peer"]),
            prefix_length=int(row["prefix_length"]),
            valid_from=int(row["valid_from"]),
            valid_until=int(row["valid_until"]),
            ended=bool(row["ended"]),
        )

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Entries):
            return len(self) == len(other) and not self.changed_from(other)
        return Mapping.__eq__(self, other)

    __hash__ = None  # type: ignore[assignment]  # as of any mapping

    def __repr__(self) -> str:
        return f"Entries.of({dict(self)!r})"


def _differ(rows: Rows, others: Rows, at: Rows) -> NDArray[np.bool_]:
    """Each from the other at its place; when a source was last seen is no difference."""
    differs = np.zeros(len(rows), bool)
    for name in ("valid_from", "valid_until", "peer", "prefix_length", "ended"):
        differs |= rows[name] != others[name][at]
    return differs
