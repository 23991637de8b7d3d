"""The sources of all gateways, as pg_find_source() in bpf/peergate.c reads them.

One class of sources (hosts and prefixes of each family) is a table of buckets. A slot is
complete in one word; the entry that it names is written before it, and used again only after
a grace period. What finds no slot in its bucket stands in the map `overflow`.
"""

from dataclasses import dataclass, field

import numpy as np

from control import hashing, syscalls
from control.arrays import BpfArray, Rows, in_order
from control.errors import MapFullError
from control.hashing import CLASSES, HASH_BITS, SURELY_FOREVER, USED, Column, Secret
from control.maps import BpfMap
from control.sizes import CLASSES as CLASS_NAMES
from control.sizes import ENTRIES_A_BUCKET, Sizes
from policy.window import FOREVER_NS

_SLOTS = 7
_FOREVER = np.uint64(FOREVER_NS)


@dataclass(slots=True)
class Class:
    """A table of 2^bits buckets, the first of them at `first`, with its free entries."""

    kind: int
    bits: int
    first: int
    free: Rows
    retired: list[Rows] = field(default_factory=list)

    @property
    def place_bits(self) -> int:
        return self.bits + 2

    @property
    def tag_mask(self) -> np.uint64:
        return np.uint64((1 << (HASH_BITS + 3)) - (1 << self.place_bits))

    def place(self, hashes: Column) -> tuple[Rows, Column]:
        """Bucket's number, and what a slot has in the bits of `tag_mask`."""
        rest = np.uint64(HASH_BITS - self.bits)
        tag = hashes & np.uint64((1 << int(rest)) - 1)
        return (
            (hashes >> rest).astype(np.int64) + self.first,
            USED | tag << np.uint64(self.place_bits),
        )

    def filter_bits(self, hashes: Column) -> Rows:
        tag = hashes & np.uint64((1 << (HASH_BITS - self.bits)) - 1)
        one, low = np.uint64(1), np.uint64(31)
        return (one << (tag & low) | one << (tag >> np.uint64(5) & low)).astype(np.uint32)


class Sources:
    """All classes over one set of maps. `rows` are columns of struct pg_entry throughout."""

    def __init__(
        self, arrays: dict[str, BpfArray], overflow: BpfMap, secret: Secret, sizes: Sizes
    ) -> None:
        self._filter = arrays["filter"].rows["word"].reshape(-1)
        self._slots = arrays["buckets"].rows["slot"]
        self._seen = arrays["buckets"].rows["seen"]
        self._overflowed = arrays["buckets"].rows["overflowed"]
        self._entries = arrays["entries"].rows
        self._lengths4 = arrays["lengths4"].rows["cell"].reshape(-1)
        self._lengths6 = arrays["lengths6"].rows["cell"].reshape(-1, 2)
        self._signs = (self._filter, self._lengths4, self._lengths6, self._overflowed)
        self._overflow = overflow
        self._overflow_dtype = self._entries.dtype
        self._secret = secret
        bits = sizes.bits
        self._cells = tuple(1 << bits_ for bits_ in sizes.cells_bits)
        firsts = np.concatenate([[0], np.cumsum([1 << b for b in bits])])
        self._classes = tuple(
            Class(kind, bits[kind], int(firsts[kind]), np.empty(0, np.int64)) for kind in CLASSES
        )
        self._over: dict[bytes, bytes] = {}
        self.adopt()

    # What is there

    def adopt(self) -> None:
        """Take the maps as they are: which entries are free follows from the slots."""
        self._over = {bytes(key): bytes(value) for key, value in self._overflow.items()}
        for table in self._classes:
            slots = self._slots_of(table)
            used = slots[(slots & USED) != 0]
            places = np.unique((used & _low(table.place_bits)).astype(np.int64))
            free = np.ones(1 << table.place_bits, bool)
            free[places] = False
            table.free = np.flatnonzero(free)[::-1]
            table.retired = []

    def read(self) -> Rows:
        """All entries that packets can find, in no order."""
        parts = [self._entries[self._used_places(table)] for table in self._classes]
        if self._over:
            parts.append(np.frombuffer(b"".join(self._over.values()), self._overflow_dtype))
        return np.concatenate(parts)

    def _slots_of(self, table: Class) -> Rows:
        slots: Rows = self._slots[table.first : table.first + (1 << table.bits)]
        return slots

    def _used_places(self, table: Class) -> Rows:
        slots = self._slots_of(table).reshape(-1)
        used = slots[(slots & USED) != 0]
        places: Rows = (used & _low(table.place_bits)).astype(np.int64) + self._base(table)
        return places

    @staticmethod
    def _base(table: Class) -> int:
        return table.first * ENTRIES_A_BUCKET

    # Changes

    def write(self, rows: Rows, now: int) -> Rows:
        """Write the entries; those that found no room come back."""
        return np.concatenate([self._write_class(table, rows, now) for table in self._classes])

    def _write_class(self, table: Class, all_rows: Rows, now: int) -> Rows:
        rows: Rows = all_rows[all_rows["key"]["class"] == table.kind]
        if not len(rows):
            return rows
        if len(rows) > len(table.free):
            self._collect(table)
        room = len(table.free)
        rows, left = rows[:room], rows[room:]
        hashes = self._hash(table, rows["key"])
        bucket, tag = table.place(hashes)
        places = table.free[len(table.free) - len(rows) :]
        table.free = table.free[: len(table.free) - len(rows)]
        self._entries[places + self._base(table)] = rows
        in_order()
        self._announce(table, rows["key"], hashes, bucket, self._signs)
        in_order()
        slots = tag | places.astype(np.uint64) | _surely(rows, now) << hashing.SURELY_SHIFT
        slot, known = self._locate(table, rows["key"], bucket, tag)
        at, number = bucket[known], slot[known]
        old = (self._slots[at, number] & _low(table.place_bits)).astype(np.int64)
        self._slots[at, number] = slots[known]
        table.retired.append(old)
        fresh = np.flatnonzero(~known)
        over = self._place_fresh(table, bucket, tag, slots, fresh, self._is_over(rows["key"]))
        if len(over):
            not_placed = self._write_overflow(rows[over], bucket[over])
            table.free = np.concatenate([table.free, places[over]])
            left = np.concatenate([left, rows[over][not_placed]])
        return left

    def _place_fresh(
        self, table: Class, bucket: Rows, tag: Column, slots: Column, fresh: Rows, is_over: Rows
    ) -> Rows:
        """Give each a free slot of its bucket; which of them found none."""
        if not len(fresh):
            return fresh
        # What is in `overflow` stays there; so does what has the tag of another.
        order = fresh[np.lexsort((tag[fresh], bucket[fresh]))]
        at = bucket[order]
        starts = np.flatnonzero(np.concatenate([[True], at[1:] != at[:-1]]))
        counts = np.diff(np.concatenate([starts, [len(at)]]))
        rank = np.arange(len(at)) - np.repeat(starts, counts)
        again = np.concatenate([[False], (at[1:] == at[:-1]) & (np.diff(tag[order]) == 0)])
        held = self._slots[at]
        free = (held & USED) == 0
        taken = ((held & table.tag_mask) == tag[order][:, None]).any(axis=1)
        # The rank-th free slot of the bucket.
        nth = np.cumsum(free, axis=1)
        fits = (nth[:, -1] > rank) & ~taken & ~again & ~is_over[order]
        slot = np.argmax(nth == (rank + 1)[:, None], axis=1)
        self._seen[at[fits], slot[fits]] = 0
        in_order()
        self._slots[at[fits], slot[fits]] = slots[order[fits]]
        left: Rows = order[~fits]
        return left

    def _is_over(self, keys: Rows) -> Rows:
        if not self._over:
            return np.zeros(len(keys), bool)
        return np.fromiter((key.tobytes() in self._over for key in keys), bool, len(keys))

    def _write_overflow(self, rows: Rows, bucket: Rows) -> Rows:
        """Which of the rows found no room there."""
        pairs = [(row["key"].tobytes(), row.tobytes()) for row in rows]
        done = self._overflow.write(pairs)
        self._over.update(pairs[:done])
        self._overflowed[bucket[:done]] = 1
        return np.arange(done, len(rows))

    def delete(self, keys: Rows) -> None:
        """Delete what is registered under these keys (struct pg_key); others are no error."""
        for table in self._classes:
            mine = keys[keys["class"] == table.kind]
            if not len(mine):
                continue
            bucket, tag = table.place(self._hash(table, mine))
            slot, known = self._locate(table, mine, bucket, tag)
            at, number = bucket[known], slot[known]
            places = (self._slots[at, number] & _low(table.place_bits)).astype(np.int64)
            self._slots[at, number] = 0
            table.retired.append(places)
            over = [key for row in mine[~known] if (key := row.tobytes()) in self._over]
            self._overflow.delete(over)
            for key in over:
                del self._over[key]

    def _collect(self, table: Class) -> None:
        """Entries that no packet reads any more become free."""
        if any(map(len, table.retired)):
            syscalls.grace_period()
            table.free = np.concatenate([table.free, *table.retired])
            table.retired = []

    def full(self, left: Rows) -> MapFullError:
        """The error that says which class had no room for what `write` gave back."""
        kinds = np.bincount(left["key"]["class"], minlength=len(CLASSES))
        kind = int(np.argmax(kinds))
        limit = ENTRIES_A_BUCKET << self._classes[kind].bits
        setting = "max_prefixes" if kind in (hashing.PREFIXES4, hashing.PREFIXES6) else "max_hosts"
        return MapFullError(CLASS_NAMES[kind], limit, limit + int(kinds[kind]), setting)

    # Truth

    def mend(self, now: int) -> int:
        """Take out what we never write, put in what packets need to find the rest; how much."""
        for table in self._classes:
            self._collect(table)
        wrong = sum(self._clear_strays(table) for table in self._classes) + self._clear_overflow()
        self.adopt()
        return wrong + self._mend_signs() + sum(self._mend_surely(t, now) for t in self._classes)

    def _clear_strays(self, table: Class) -> int:
        """Slots whose entry is another one's, or of no such place."""
        bucket, number = np.nonzero(self._slots_of(table) & USED)
        bucket += table.first
        slots = self._slots[bucket, number]
        places = (slots & _low(table.place_bits)).astype(np.int64)
        keys = self._entries["key"][places + self._base(table)]
        at, tag = table.place(self._hash(table, keys))
        wrong = (at != bucket) | (tag != slots & table.tag_mask) | (keys["class"] != table.kind)
        wrong |= keys["gateway"] > (1 << hashing.GATEWAY_BITS) - 1
        first = np.zeros(len(places), bool)
        first[np.unique(places, return_index=True)[1]] = True
        wrong |= ~first
        self._slots[bucket[wrong], number[wrong]] = 0
        return int(wrong.sum())

    def _clear_overflow(self) -> int:
        held = {bytes(key): bytes(value) for key, value in self._overflow.items()}
        size = len(next(iter(held), b""))
        strays = [key for key, value in held.items() if key != value[:size]]
        self._overflow.delete(strays)
        return len(strays)

    def _mend_signs(self) -> int:
        """Filter, lengths and overflow bytes, anew; how many words lacked something."""
        wanted = tuple(np.zeros_like(words) for words in self._signs)
        rows = self.read()
        for table in self._classes:
            keys = rows["key"][rows["key"]["class"] == table.kind]
            hashes = self._hash(table, keys)
            bucket, _ = table.place(hashes)
            self._announce(table, keys, hashes, bucket, wanted)
            over = self._is_over(keys)
            wanted[3][bucket[over]] = 1
        lacking = 0
        for words, right in zip(self._signs, wanted, strict=True):
            lacking += int(((words & right) != right).sum())
            changed = words != right
            words[changed] = right[changed]
        return lacking

    def _mend_surely(self, table: Class, now: int) -> int:
        """Slots that promise more than their entry holds; those that promise less are renewed."""
        bucket, number = np.nonzero(self._slots_of(table) & USED)
        bucket += table.first
        slots = self._slots[bucket, number]
        places = (slots & _low(table.place_bits)).astype(np.int64) + self._base(table)
        right = _surely(self._entries[places], now)
        held = slots >> hashing.SURELY_SHIFT
        changed = held != right
        renewed = slots & _low(int(hashing.SURELY_SHIFT)) | right << hashing.SURELY_SHIFT
        self._slots[bucket[changed], number[changed]] = renewed[changed]
        return int((held > right).sum())

    # What sends packets to the buckets

    def _announce(
        self, table: Class, keys: Rows, hashes: Column, bucket: Rows, signs: tuple[Rows, ...]
    ) -> None:
        filter_, lengths4, lengths6, _ = signs
        _or_at(filter_, bucket, table.filter_bits(hashes))
        head, high, low = hashing.lengths_of(table.kind, keys["name"][:, 0], keys["name"][:, 1])
        family6 = table.kind >= hashing.HOSTS6
        cell = self._secret.hash_head(keys["gateway"].astype(np.uint64), head)
        cell = (cell & np.uint64(self._cells[family6] - 1)).astype(np.int64)
        if family6:
            _or_at(lengths6[:, 0], cell, high)
            _or_at(lengths6[:, 1], cell, low)
        else:
            _or_at(lengths4, cell, low.astype(np.uint32))

    # Places

    def _hash(self, table: Class, keys: Rows) -> Column:
        gateway = keys["gateway"].astype(np.uint64)
        return self._secret.hash(table.kind, gateway, keys["name"][:, 0], keys["name"][:, 1])

    def _locate(self, table: Class, keys: Rows, bucket: Rows, tag: Column) -> tuple[Rows, Rows]:
        """For each key its slot in the bucket, and whether it has one."""
        held = self._slots[bucket]
        match = (held & table.tag_mask) == tag[:, None]
        slot = np.argmax(match, axis=1)
        known = match.any(axis=1)
        if table.kind >= hashing.HOSTS6:
            word = np.take_along_axis(held, slot[:, None], axis=1)[:, 0]
            place = (word & _low(table.place_bits)).astype(np.int64) + self._base(table)
            known &= self._entries["key"][np.where(known, place, 0)] == keys
        return slot, known


def _low(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)


def _surely(rows: Rows, now: int) -> Column:
    """Until when they are valid beyond doubt, in units; 0 where the entry has to be asked."""
    units = np.minimum(rows["valid_until"] >> hashing.SURELY_UNIT, np.uint64(SURELY_FOREVER - 1))
    begun = rows["valid_from"] >> hashing.SURELY_UNIT < np.uint64(max(now, 0) >> 46)
    always = rows["valid_from"] == 0
    forever = always & (rows["valid_until"] == _FOREVER)
    units = np.where(begun | always, units, np.uint64(0))
    return np.where(forever, np.uint64(SURELY_FOREVER), units)


def _or_at(words: Rows, at: Rows, bits: Rows) -> None:
    """Set bits, each word in one store, and only words that change."""
    if not len(at):
        return
    order = np.argsort(at, kind="stable")
    at, bits = at[order], bits[order]
    starts = np.flatnonzero(np.concatenate([[True], at[1:] != at[:-1]]))
    wanted = np.bitwise_or.reduceat(bits, starts)
    place = at[starts]
    held = words[place]
    changed = (held | wanted) != held
    words[place[changed]] = (held | wanted)[changed]
