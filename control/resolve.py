"""Overlapping registrations made flat: which windows count for each prefix (DESIGN.md, Overlaps).

A longest-prefix match sees one entry only. So each (gateway, prefix) gets the
windows of every peer of that gateway that covers it, its own and the wider ones.
Times are ns since 1970-01-01 UTC. Pure: no I/O.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from control import columns
from control.columns import ENTRY, HIGH_MASK, LOW_MASK, Rows
from control.entries import Entries
from control.pairs import Pairs

Index = NDArray[np.int64]

# A half-open window of a row; in order by row and start, with a gap between each two of a row.
SPAN = np.dtype([("row", "i8"), ("start", "u8"), ("end", "u8")])


def _first_of_none() -> Index:
    return np.zeros(1, np.int64)


@dataclass(frozen=True, slots=True)
class Timetable:
    """What is registered at any time, from which the entries of one moment follow.

    `entries` lack their windows: those of row i are spans[first[i]:first[i + 1]].
    """

    entries: Entries = field(default_factory=Entries)
    spans: Rows = field(default_factory=lambda: np.zeros(0, SPAN))
    first: Index = field(default_factory=_first_of_none)

    def at(self, now: int) -> Entries:
        """The entries at `now`: the window that counts now or next; of those all over, the last."""
        rows = self.entries.rows.copy()
        over = np.cumsum(self.spans["end"] <= np.uint64(max(now, 0)))
        over = np.concatenate([_first_of_none(), over])
        ended = np.minimum(over[self.first[1:]] - over[self.first[:-1]], np.diff(self.first) - 1)
        spans = self.spans[self.first[:-1] + ended]
        rows["valid_from"], rows["valid_until"] = spans["start"], spans["end"]
        rows["ended"] = ended > 0
        return Entries(rows, self.entries.keys_sorted)

    def several(self) -> "Timetable":
        """The rows with several windows, of which the agent must write each in its time."""
        return self._only(np.diff(self.first) > 1)

    def with_changes(self, keys: Rows, changed: "Timetable") -> "Timetable":
        """The rows of `changed` in place of those with these keys."""
        stays = np.ones(len(self.entries), bool)
        at, known = self.entries.find(keys)
        stays[at[known]] = False
        if stays.all() and not len(changed.entries):
            return self
        kept = self._only(stays)
        sorts = np.concatenate([kept.entries.keys_sorted, changed.entries.keys_sorted])
        order = np.argsort(sorts)
        rows = np.concatenate([kept.entries.rows, changed.entries.rows])[order]
        spans = np.concatenate([kept.spans, changed.spans])
        spans["row"][len(kept.spans) :] += len(kept.entries)
        spans["row"] = np.argsort(order)[spans["row"]]
        spans = spans[np.argsort(spans["row"], kind="stable")]
        return Timetable(Entries(rows, sorts[order]), spans, _firsts(spans, len(rows)))

    def _only(self, chosen: NDArray[np.bool_]) -> "Timetable":
        spans = self.spans[chosen[self.spans["row"]]]
        spans["row"] = (np.cumsum(chosen) - 1)[spans["row"]]
        return Timetable(self.entries.only(chosen), spans, _firsts(spans, int(chosen.sum())))

    def next_change(self, now: int) -> int | None:
        """When the agent must write a later window, if it ever must."""
        spans = self.spans
        ends = spans["end"][:-1][spans["row"][:-1] == spans["row"][1:]]
        ends = ends[ends > np.uint64(max(now, 0))]
        return int(ends.min()) if len(ends) else None


def timetable(pairs: Pairs) -> Timetable:
    """The timetable of these registrations: one row per distinct key."""
    if not len(pairs):
        return Timetable()
    keys = pairs.keys
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    keys = keys[begins]
    place = columns.placed(keys)
    rows = np.zeros(len(keys), ENTRY)
    rows["key"] = columns.key_rows(place)
    rows["peer"] = np.minimum.reduceat(pairs.peer, begins)
    rows["prefix_length"] = place["length"]
    own = np.zeros(len(pairs), SPAN)
    own["row"] = np.repeat(np.arange(len(keys)), np.diff(np.append(begins, len(pairs))))
    own["start"], own["end"] = pairs.start, pairs.end
    spans = _inherited(own, _covers(place))
    return Timetable(Entries(rows, keys), spans, _firsts(spans, len(keys)))


def _firsts(spans: Rows, rows: int) -> Index:
    """Where the spans of each row begin, and where those of the last one end."""
    counts = np.bincount(spans["row"], minlength=rows)
    return np.concatenate([_first_of_none(), np.cumsum(counts)])


def _covers(place: Rows) -> Index:
    """For each row the innermost one that covers it, or -1. Sorted, it stands before.

    A guess g for row i says that no row between g and i covers i. If g does not, neither does
    any row between g and g's own guess, as prefixes nest: so guesses are followed, all at once.
    """
    family = place["gateway"].astype(np.int64) * 2 + (place["family"] == 6)
    high, low = place["high"].astype(np.uint64), place["low"].astype(np.uint64)
    length = place["length"].astype(np.int64)
    is_wide = length < np.where(place["family"] == 6, 128, 32)
    last = np.maximum.accumulate(np.where(is_wide, np.arange(len(place)), -1))
    guess = np.concatenate([[-1], last[:-1]])
    # Hosts cover nothing: they come when all else is known.
    for asked in (np.flatnonzero(is_wide), np.flatnonzero(~is_wide)):
        asked = asked[guess[asked] >= 0]
        while len(asked):
            of = guess[asked]
            elsewhere = family[of] != family[asked]
            differs = (high[asked] ^ high[of]) & HIGH_MASK[length[of]]
            differs |= (low[asked] ^ low[of]) & LOW_MASK[length[of]]
            guess[asked] = np.where(elsewhere, -1, np.where(differs != 0, guess[of], of))
            asked = asked[~elsewhere & (differs != 0)]
            asked = asked[guess[asked] >= 0]
    return guess


def _inherited(own: Rows, cover: Index) -> Rows:
    """The spans of all rows: each has its own, and those of the row that covers it."""
    done = np.ones(len(cover), bool)
    row = np.flatnonzero(cover < 0)
    done[cover >= 0] = False
    level = _union(own[done[own["row"]]])
    levels = [level]
    while not done.all():
        # Those covered by a row of the last level.
        last = np.zeros(len(cover), bool)
        last[row] = True
        row = np.flatnonzero((cover >= 0) & last[cover])
        now = np.zeros(len(cover), bool)
        now[row] = True
        begin = np.searchsorted(level["row"], cover[row])
        count = np.searchsorted(level["row"], cover[row], side="right") - begin
        taken = level[np.repeat(begin - np.cumsum(count) + count, count) + np.arange(count.sum())]
        taken["row"] = np.repeat(row, count)
        level = _union(np.concatenate([own[now[own["row"]]], taken]))
        levels.append(level)
        done |= now
    spans = np.concatenate(levels)
    return spans if len(levels) == 1 else spans[np.argsort(spans["row"], kind="stable")]


def _union(spans: Rows) -> Rows:
    """Of each row what overlaps or touches becomes one; in any order."""
    alone = np.bincount(spans["row"]) == 1 if len(spans) else np.zeros(0, bool)
    alone = alone[spans["row"]]
    if alone.all():
        return spans[np.argsort(spans["row"], kind="stable")]
    several = spans[~alone]
    several = several[np.lexsort((several["start"], several["row"]))]
    row = several["row"]
    # The latest end so far in the row: ends by their rank, so that rows stay apart.
    ends, rank = np.unique(several["end"], return_inverse=True)
    latest = np.maximum.accumulate(row * len(ends) + rank)
    same_row = np.concatenate([[False], row[1:] == row[:-1]])
    before = ends[np.concatenate([[0], latest[:-1]]) % len(ends)]
    opens = ~same_row | (several["start"] > before)
    at = np.flatnonzero(opens)
    merged = several[at]
    merged["end"] = ends[latest[np.append(at[1:], len(several)) - 1] % len(ends)]
    spans = np.concatenate([spans[alone], merged])
    return spans[np.argsort(spans["row"], kind="stable")]
