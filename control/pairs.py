"""Registrations in columns: a row for each source of each peer, with the peer's window."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from control import columns
from control.columns import SORTED, Rows
from control.hashing import Column
from control.model import Peer


@dataclass(frozen=True, slots=True)
class Pairs:
    """Columns of one length, sorted by `keys`. Windows are in ns since 1970, peers are ids."""

    keys: Rows  # SORTED
    start: Column
    end: Column
    peer: Rows

    @classmethod
    def none(cls) -> Self:
        windows = np.zeros(0, np.uint64)
        return cls(np.zeros(0, SORTED), windows, windows, np.zeros(0, np.uint32))

    @classmethod
    def of(cls, peers: Iterable[Peer], numbers: Mapping[str, Sequence[int]]) -> Self:
        """`numbers`: those of each gateway, its own and those of groups that it is of."""
        sources, start, end, ids = [], [], [], []
        for peer in peers:
            for number in numbers[peer.gateway]:
                for source in peer.sources:
                    sources.append((number, source))
                    start.append(peer.valid.start_ns)
                    end.append(peer.valid.end_ns)
                    ids.append(peer.id)
        return cls(
            columns.sortable(columns.places(sources)),
            np.array(start, np.uint64),
            np.array(end, np.uint64),
            np.array(ids, np.uint32),
        ).in_order()

    def in_order(self) -> Self:
        if (self.keys[:-1] <= self.keys[1:]).all():
            return self
        return self.only(np.argsort(self.keys))

    def only(self, chosen: Rows) -> Self:
        """Those that a column of bools, or of indices in order, chooses."""
        columns = self.keys, self.start, self.end, self.peer
        return type(self)(*(column[chosen] for column in columns))

    def with_more(self, other: Self) -> Self:
        if not len(other):
            return self
        # Where each of the others stands then.
        at = np.searchsorted(self.keys, other.keys) + np.arange(len(other))
        stays = np.ones(len(self) + len(other), bool)
        stays[at] = False
        merged = []
        for name in self.__slots__:
            mine, others = getattr(self, name), getattr(other, name)
            column = np.empty(len(stays), mine.dtype)
            column[stays], column[at] = mine, others
            merged.append(column)
        return type(self)(*merged)

    def between(self, first: Rows, last: Rows) -> Rows:
        """Where rows stand whose keys are in one of these ranges, ends included; in order."""
        begin = np.searchsorted(self.keys, first)
        count = np.searchsorted(self.keys, last, side="right") - begin
        starts = np.repeat(begin - np.cumsum(count) + count, count)
        at: Rows = np.unique(starts + np.arange(len(starts)))
        return at

    def find(self, other: Self) -> Rows:
        """Where the rows of `other` stand here: those of the same key and peer."""
        if not len(other) or not len(self):
            return np.zeros(0, np.int64)
        at = self.between(other.keys, other.keys)
        wanted = set(zip(other.keys.tolist(), other.peer.tolist(), strict=True))
        held = zip(self.keys[at].tolist(), self.peer[at].tolist(), strict=True)
        found: Rows = at[np.fromiter((one in wanted for one in held), bool, len(at))]
        return found

    def __len__(self) -> int:
        return len(self.keys)
