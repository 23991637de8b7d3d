"""Many peers in little memory: in columns what is planned by, and the rest as compressed records.

256 bytes of JSON take some 50 here, and 60 more in columns.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from control import columns, records
from control.columns import Rows
from control.model import Peer
from control.pairs import Pairs
from policy.prefixes import Address

# Records that are compressed together, and have to be decompressed to read one of them.
_TOGETHER = 128


@dataclass(frozen=True, slots=True)
class Stored:
    """Columns in the order in which the peers came. Nothing changes."""

    ids: Rows
    ids_in_order: Rows
    by_id: Rows  # the rows of these
    names: tuple[str, ...]
    gateway: Rows  # as a place in `names`
    start: Rows
    end: Rows
    first: Rows  # where each peer's sources begin, and where the last one's end
    sources: Rows  # SORTED, each at no gateway
    record: Rows  # where each peer's record stands among those of all blocks
    blocks: tuple[bytes, ...]

    @classmethod
    def of(cls, peers: Iterable[Peer]) -> "Stored":
        """Of peers at hand."""
        made = Builder()
        for peer in peers:
            made.add(records.record(peer), peer)
        return made.stored()

    def find(self, number: int) -> int | None:
        """The row of the peer with this id."""
        at = int(np.searchsorted(self.ids_in_order, np.uint32(number)))
        if at == len(self.ids) or self.ids_in_order[at] != number:
            return None
        return int(self.by_id[at])

    def peer(self, row: int) -> Peer:
        block, at = divmod(int(self.record[row]), _TOGETHER)
        return records.parse([_records_of(self.blocks[block])[at]])[0]

    def records(self, rows: Rows) -> Iterator[bytes]:
        """The records of ascending rows."""
        places = self.record[rows]
        edges = np.searchsorted(places, np.arange(len(self.blocks) + 1) * _TOGETHER).tolist()
        for block, first, last in zip(self.blocks, edges, edges[1:], strict=False):
            if first < last:
                texts = _records_of(block)
                yield from (texts[place % _TOGETHER] for place in places[first:last].tolist())

    def near(
        self, source: Address, gateway: str, gone: Iterable[int], least: int, most: int
    ) -> list[int]:
        """Rows of peers that cover the source, and of the one at the gateway that has most leading
        bits in common, `least` or more. Of those with an id in `gone` none. `most`: see peers."""
        common = columns.common_bits(self.sources, source)
        for row in map(self.find, gone):
            if row is not None:
                common[self.first[row] : self.first[row + 1]] = 0
        length = columns.placed(self.sources)["length"]
        covers = np.flatnonzero(common == length)
        rows = np.searchsorted(self.first, covers, side="right") - 1
        rows = rows[np.lexsort((self.ids[rows], -length[covers].astype(np.int64)))]
        if gateway not in self.names:
            return list(map(int, rows[:most]))
        number = self.names.index(gateway)
        here = self.gateway[rows] == number
        found = [*rows[here][:most].tolist(), *rows[~here][:most].tolist()]
        common[np.repeat(self.gateway != number, np.diff(self.first))] = 0
        if len(common) and common.max() >= least:
            nearest = np.searchsorted(self.first, common.argmax(), side="right") - 1
            found.append(int(nearest))
        return list(dict.fromkeys(found))

    def pairs(self, numbers: Mapping[str, Sequence[int]], rows: Rows) -> Pairs:
        """The registrations of the peers in these rows, at all numbers of their gateways."""
        counts = (self.first[rows + 1] - self.first[rows]).astype(np.int64)
        peer = np.repeat(rows, counts)
        source = np.arange(len(peer)) + np.repeat(
            self.first[rows] - np.cumsum(counts) + counts, counts
        )
        stands_at = [numbers.get(name, ()) for name in self.names]
        made = Pairs.none()
        for turn in range(max(map(len, stands_at), default=0)):
            number = np.array([at[turn] if turn < len(at) else 0 for at in stands_at], np.uint16)
            number = number[self.gateway[peer]]
            chosen = np.flatnonzero(number)
            place = columns.placed(self.sources[source[chosen]])
            place["gateway"] = number[chosen]
            row = peer[chosen]
            window = self.start[row], self.end[row]
            made = made.with_more(Pairs(columns.sortable(place), *window, self.ids[row]).in_order())
        return made

    def replaced(self, rows: Rows, more: Iterable[Peer]) -> "Stored":
        """These rows, in order, and more peers behind. Records of others stay, unread."""
        made = Stored.of(more)
        at = {name: number for number, name in enumerate(self.names)}
        turned = np.array([at.setdefault(name, len(at)) for name in made.names], np.uint16)
        counts = np.diff(self.first)
        kept = np.zeros(len(self.ids), bool)
        kept[rows] = True
        first = np.cumsum(np.concatenate([[0], counts[rows], np.diff(made.first)]))
        ids = np.concatenate([self.ids[rows], made.ids])
        by_id = np.argsort(ids, kind="stable").astype(np.uint32)
        gateway = turned[made.gateway] if len(made.ids) else made.gateway
        return Stored(
            ids=ids,
            ids_in_order=ids[by_id],
            by_id=by_id,
            names=tuple(at),
            gateway=np.concatenate([self.gateway[rows], gateway]),
            start=np.concatenate([self.start[rows], made.start]),
            end=np.concatenate([self.end[rows], made.end]),
            first=first.astype(np.uint32),
            sources=np.concatenate([self.sources[np.repeat(kept, counts)], made.sources]),
            record=np.concatenate([self.record[rows], made.record + len(self.blocks) * _TOGETHER]),
            blocks=self.blocks + made.blocks,
        )


class Builder:
    """Takes peers one by one, with their records, for `Stored`."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._blocks: list[bytes] = []
        self._parts: list[tuple[Rows, ...]] = []
        self._records: list[bytes] = []
        self._peers: list[Peer] = []

    def add(self, record: bytes, peer: Peer) -> None:
        """`record`: the peer's JSON, in one line."""
        self._records.append(record)
        self._peers.append(peer)
        if len(self._records) == _TOGETHER:
            self._close_block()

    def records(self) -> Iterator[bytes]:
        """All of those added."""
        for block in self._blocks:
            yield from _records_of(block)
        yield from self._records

    def stored(self) -> Stored:
        self._close_block()
        ids, gateway, start, end, counts, sources = (
            np.concatenate(column) for column in zip(*self._parts, strict=True)
        )
        self._parts = []
        by_id = np.argsort(ids, kind="stable").astype(np.uint32)
        return Stored(
            ids=ids,
            ids_in_order=ids[by_id],
            by_id=by_id,
            names=tuple(self._names),
            gateway=gateway,
            start=start,
            end=end,
            first=np.cumsum(np.concatenate([[0], counts])).astype(np.uint32),
            sources=sources,
            record=np.arange(len(ids), dtype=np.uint32),
            blocks=tuple(self._blocks),
        )

    def _close_block(self) -> None:
        peers, names = self._peers, self._names
        if self._records:
            self._blocks.append(zlib.compress(b"\n".join(self._records), 1))
        sources = columns.places((0, source) for peer in peers for source in peer.sources)
        self._parts.append(
            (
                np.array([peer.id for peer in peers], np.uint32),
                np.array([names.setdefault(p.gateway, len(names)) for p in peers], np.uint16),
                np.array([peer.valid.start_ns for peer in peers], np.uint64),
                np.array([peer.valid.end_ns for peer in peers], np.uint64),
                np.array([len(peer.sources) for peer in peers], np.uint32),
                columns.sortable(sources),
            )
        )
        self._records, self._peers = [], []


def _records_of(block: bytes) -> list[bytes]:
    return zlib.decompress(block).split(b"\n")
