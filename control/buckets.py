"""The table of one class of sources: buckets, what sends packets to them, and entries.

A slot is complete in one word; the entry that it names is written before it, and used again
only after a grace period. Of everything written a copy is kept (`Mirror`): what is there
already is looked up in it, and what should be there follows from it.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from control import blocks, hashing, syscalls
from control.arrays import BpfArray, Mirror, in_order, or_by_place
from control.columns import ENTRY, Rows
from control.hashing import HASH_BITS, HOSTS6, SURELY_FOREVER, USED, Column, Secret
from control.lengths import Lengths
from control.overflow import Overflow
from control.sizes import ENTRIES_A_BUCKET
from policy.window import FOREVER_NS

# Buckets that are checked in one step, which takes some milliseconds at most.
_A_STEP = 2048

# Times that something was retired before it is collected, whether or not room is short.
_RETIRED_MAX = 1024

_FOREVER = np.uint64(FOREVER_NS)
_SLOTS = 7
# By which slots are free (the first one's bit is the highest of eight), and a rank: which is the
# free slot of that rank, _SLOTS where there are not so many.
_NTH_FREE = np.full((256, _SLOTS + 1), _SLOTS, np.int64)
for _free in range(256):
    _slots = [slot for slot in range(_SLOTS) if _free & 0x80 >> slot]
    _NTH_FREE[_free, : len(_slots)] = _slots

_SURELY = hashing.SURELY_SHIFT

Bools = NDArray[np.bool_]


class Buckets:
    """2^bits buckets, the first of them at `first` in the arrays. Rows are of struct pg_entry."""

    def __init__(
        self,
        kind: int,
        bits: int,
        first: int,
        arrays: dict[str, BpfArray],
        secret: Secret,
        lengths: Lengths,
        overflow: Overflow,
    ) -> None:
        last = first + (1 << bits)
        buckets = arrays["buckets"].rows[first:last]
        entries = arrays["entries"].rows[first * ENTRIES_A_BUCKET : last * ENTRIES_A_BUCKET]
        self.kind = kind
        self.room = ENTRIES_A_BUCKET << bits
        self._bits = bits
        self._tag_bits = HASH_BITS - bits
        self._place_bits = bits + 2
        self._tag_mask = _low(HASH_BITS + 3) - _low(self._place_bits)
        self._slots = Mirror.of(buckets["slot"])
        self._overflowed = Mirror.of(buckets["overflowed"])
        self._seen = buckets["seen"]
        # As it was when it was last asked for; in maps that are made there is nothing yet.
        self._seen_before = np.zeros(self._seen.shape, np.uint8)
        self._filter = Mirror.of(blocks.words(arrays["filter"], first // 2, (1 << bits) // 2))
        # Of its words the bits of what stands in `overflow`; of what went from there until a check.
        self._filter_over = np.zeros(self._filter.ours.shape, np.uint64)
        self._entries = Mirror.of(entries)
        self._secret = secret
        self._lengths = lengths
        self._overflow = overflow
        self._used = np.zeros(self.room, bool)
        self._free = np.arange(self.room, dtype=np.int32)[::-1]
        self._retired: list[Rows] = []
        # How many entries have slots.
        self.count = 0

    # What is there

    def live(self) -> Rows:
        """All entries that packets can find, in no order."""
        slots = self._slots.live
        return self._entries.live[self._places(slots[(slots & USED) != 0])]

    def held(self) -> Rows:
        """All that were written, in no order."""
        return self._entries.ours[self._used]

    def in_parts(self, size: int) -> Iterator[Rows]:
        """The same, of `size` places at a time."""
        for first in range(0, self.room, size):
            part = slice(first, first + size)
            yield self._entries.ours[part][self._used[part]]

    def find(self, keys: Rows) -> Rows:
        """What was written under these keys, as far as anything was; in no order."""
        bucket, tag = self._place(self._hash(keys))
        held = self._slots.ours[bucket]
        slot, known = self._locate(keys, held, tag)
        rows = self._entries.ours[self._places(held[known, slot[known]])]
        if known.all():
            return rows
        over = self._overflow.find(keys[~known & self._has_overflowed(bucket)])
        return np.concatenate([rows, over])

    def seen(self) -> tuple[Rows, Rows]:
        """Peers whose packets came since this was last asked, and their ticks as the maps have
        them. A byte says nothing of how often the ticks went round: only its change does."""
        seen = self._seen.copy()
        at = np.nonzero((seen != self._seen_before) & (seen != 0))
        self._seen_before = seen
        slots = self._slots.ours[at]
        used = (slots & USED) != 0
        return self._entries.ours["peer"][self._places(slots[used])], seen[at][used]

    def _has_overflowed(self, bucket: Rows) -> Bools:
        marked: Bools = self._overflowed.ours[bucket] != 0
        return marked

    def _hash(self, keys: Rows) -> Column:
        gateway = keys["gateway"].astype(np.uint64)
        return self._secret.hash(self.kind, gateway, keys["name"][:, 0], keys["name"][:, 1])

    def _place(self, hashes: Column) -> tuple[Rows, Column]:
        """Bucket's number, and what a slot has in the bits of the tag's mask."""
        tag = hashes & _low(self._tag_bits)
        bucket = (hashes >> np.uint64(self._tag_bits)).astype(np.int64)
        return bucket, USED | tag << np.uint64(self._place_bits)

    def _places(self, slots: Column) -> Rows:
        places: Rows = (slots & _low(self._place_bits)).astype(np.int32)
        return places

    def _locate(self, keys: Rows, held: Rows, tag: Column) -> tuple[Rows, Bools]:
        """For each key its slot among those of its bucket, and whether it has one."""
        match = (held & self._tag_mask) == tag[:, None]
        slot = np.argmax(match, axis=1)
        known: Bools = match.any(axis=1)
        if self.kind >= HOSTS6:
            places = self._places(held[np.arange(len(held)), slot])
            known &= self._entries.ours["key"][np.where(known, places, 0)] == keys
        return slot, known

    # Changes

    def write(self, rows: Rows, now: int) -> Rows:
        """Write rows of this class; those that found no room come back."""
        if len(rows) > len(self._free) or len(self._retired) > _RETIRED_MAX:
            self._collect()
        rows, left = rows[: len(self._free)], rows[len(self._free) :]
        hashes = self._hash(rows["key"])
        # By bucket, and there by tag.
        order = np.argsort(hashes)
        rows, hashes = rows[order], hashes[order]
        bucket, tag = self._place(hashes)
        self._free, places = np.split(self._free, [len(self._free) - len(rows)])
        self._entries.store(places, rows)
        self._used[places] = True
        in_order()
        self._filter.add_bits(*blocks.of_sources(bucket, hashes))
        self._lengths.announce(self.kind, rows["key"])
        in_order()
        slots = tag | places.astype(np.uint64) | _surely(rows, now) << _SURELY
        held = self._slots.ours[bucket]
        slot, known = self._locate(rows["key"], held, tag)
        self._slots.store((bucket[known], slot[known]), slots[known])
        self._retire(self._places(held[known, slot[known]]))
        fresh = np.flatnonzero(~known)
        self.count += len(fresh)
        over = fresh[~self._fill(rows["key"][fresh], bucket[fresh], slots[fresh], held[fresh])]
        if not len(over):
            return left
        self.count -= len(over)
        self._used[places[over]] = False
        self._free = np.concatenate([self._free, places[over]])
        no_room = self._overflow.write(rows[over])
        at, bits = blocks.of_sources(bucket[over], hashes[over])
        np.bitwise_or.at(self._filter_over, at, bits)
        self._overflowed.store(bucket[over], np.uint8(1))
        return np.concatenate([left, no_room])

    def _fill(self, keys: Rows, bucket: Rows, slots: Column, held: Rows) -> Bools:
        """Give each a free slot of its bucket, which holds these; which of them got one.

        What is in `overflow` stays there, and what has the tag of another goes there.
        """
        tag = slots & self._tag_mask
        goes_on = bucket[1:] == bucket[:-1]
        rank = np.arange(len(bucket))
        rank[1:] -= np.maximum.accumulate(np.where(goes_on, 0, rank[1:]))
        free = np.packbits((held & USED) == 0, axis=1)[:, 0]
        slot = _NTH_FREE[free, np.minimum(rank, _SLOTS)]
        fits: Bools = slot < _SLOTS
        fits[1:] &= ~(goes_on & (tag[1:] == tag[:-1]))
        if self.kind >= HOSTS6:
            fits &= ~((held & self._tag_mask) == tag[:, None]).any(axis=1)
        marked = np.flatnonzero(self._has_overflowed(bucket))
        fits[marked] &= ~self._overflow.has(keys[marked])
        at = bucket[fits], slot[fits]
        # What is said from here on, even in the tick of who was there before, is this one's.
        self._seen[at] = self._seen_before[at] = 0
        in_order()
        self._slots.store(at, slots[fits])
        return fits

    def delete(self, keys: Rows) -> None:
        """Clear the slots of these keys; others are no error."""
        bucket, tag = self._place(self._hash(keys))
        held = self._slots.ours[bucket]
        slot, known = self._locate(keys, held, tag)
        self._slots.store((bucket[known], slot[known]), np.uint64(0))
        self._retire(self._places(held[known, slot[known]]))
        self.count -= int(known.sum())
        self._overflow.delete(keys[~known & self._has_overflowed(bucket)])

    def _retire(self, places: Rows) -> None:
        if len(places):
            self._used[places] = False
            self._retired.append(places)

    def _collect(self) -> None:
        """Entries that no packet reads any more become free."""
        if self._retired:
            syscalls.grace_period()
            self._free = np.concatenate([self._free, *self._retired])
        self._retired = []

    # Truth

    def take(self) -> None:
        """What sends packets to the buckets and on, as it is: packets look there meanwhile."""
        self._filter.take()
        self._overflowed.take()

    def adopt(self, now: int) -> int:
        """Take what is there for ours, but for what we never write; how much that was."""
        slots, entries = self._slots.live, self._entries.live
        bucket, number = np.nonzero(slots & USED)
        words = slots[bucket, number]
        places = self._places(words)
        keys = entries["key"][places]
        at, tag = self._place(self._hash(keys))
        right = (at == bucket) & (tag == words & self._tag_mask) & (keys["class"] == self.kind)
        right &= keys["gateway"] <= (1 << hashing.GATEWAY_BITS) - 1
        first = np.zeros(len(places), bool)
        first[np.unique(places, return_index=True)[1]] = True
        right &= first
        bucket, number, places = bucket[right], number[right], places[right]
        self._entries.ours[places] = entries[places]
        self._slots.ours[bucket, number] = words[right]
        wrong = int((slots != self._slots.ours).sum())
        slots[:] = self._slots.ours
        self._seen_before = self._seen.copy()
        self._used[places] = True
        self.count = len(places)
        self._free = np.flatnonzero(~self._used)[::-1].astype(np.int32)
        firsts = range(0, len(self._overflowed.ours), _A_STEP)
        wrong += sum(self._filter_of(first, first + _A_STEP) for first in firsts)
        wrong += self._overflowed.put_right(self._overflowed.ours)
        return wrong + self._renew(bucket, number, now)

    def check(self, now: int) -> Iterator[int]:
        """Repair what is not as it was written, a part at a time; how many rows were not."""
        for first in range(0, len(self._used) // ENTRIES_A_BUCKET, _A_STEP):
            last = first + _A_STEP
            yield self._check_entries(first, last) + self._check_slots(first, last, now)

    def check_overflowed(self, keys: Rows) -> int:
        """Packets find the way to `overflow` for these keys, and no others; what lacked."""
        hashes = self._hash(keys)
        bucket, _ = self._place(hashes)
        at, bits = or_by_place(*blocks.of_sources(bucket, hashes))
        lacking = int(((self._filter.live[at] & bits) != bits).sum())
        self._filter.store(at, self._filter.ours[at] | bits)
        self._filter_over = np.zeros(self._filter.ours.shape, np.uint64)
        self._filter_over[at] = bits
        wanted = np.zeros_like(self._overflowed.ours)
        wanted[bucket] = 1
        changed = np.flatnonzero(wanted != self._overflowed.ours)
        self._overflowed.store(changed, wanted[changed])
        return lacking

    def _check_entries(self, first: int, last: int) -> int:
        part = slice(first * ENTRIES_A_BUCKET, last * ENTRIES_A_BUCKET)
        live, ours = _words(self._entries.live[part]), _words(self._entries.ours[part])
        differs = (live != ours).any(axis=1) & self._used[part]
        if differs.any():
            self._entries.live[part][differs] = self._entries.ours[part][differs]
            in_order()
        return int(differs.sum())

    def _check_slots(self, first: int, last: int, now: int) -> int:
        live, ours = self._slots.live[first:last], self._slots.ours[first:last]
        differs = live != ours
        marks = self._overflowed.part(first, last)
        lacking = self._filter_of(first, last) + marks.put_right(marks.ours)
        if differs.any():
            in_order()
            live[differs] = ours[differs]
        asked = ((ours & USED) != 0) & (ours >> _SURELY != SURELY_FOREVER)
        bucket, number = np.nonzero(asked)
        self._renew(bucket + first, number, now)
        return int(differs.sum()) + lacking

    def _filter_of(self, first: int, last: int) -> int:
        """The filter as these buckets' slots and `overflow` have it; how many words lacked
        something."""
        slots = self._slots.ours[first:last]
        bucket = np.arange(first, first + len(slots), dtype=np.uint64)[:, None]
        tag = slots >> np.uint64(self._place_bits) & _low(self._tag_bits)
        bits = blocks.bits(bucket << np.uint64(self._tag_bits) | tag)
        bits[(slots & USED) == 0] = 0
        wanted = np.bitwise_or.reduce(
            bits.reshape(-1, blocks.BUCKETS * _SLOTS, blocks.WORDS), axis=1
        ).reshape(-1)
        wanted |= self._filter_over[first // 2 : last // 2]
        return self._filter.part(first // 2, last // 2).put_right(wanted)

    def _renew(self, bucket: Rows, number: Rows, now: int) -> int:
        """The times until which these slots are surely valid; how many promised too much."""
        words = self._slots.ours[bucket, number]
        right = _surely(self._entries.ours[self._places(words)], now)
        held = words >> _SURELY
        changed = held != right
        renewed = words & _low(int(_SURELY)) | right << _SURELY
        self._slots.store((bucket[changed], number[changed]), renewed[changed])
        return int((held > right).sum())


def _low(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)


def _words(rows: Rows) -> Rows:
    return rows.view(np.uint64).reshape(-1, ENTRY.itemsize // 8)


def _surely(rows: Rows, now: int) -> Column:
    """Until when they are valid beyond doubt, in units; 0 where the entry has to be asked."""
    units = np.minimum(rows["valid_until"] >> hashing.SURELY_UNIT, np.uint64(SURELY_FOREVER - 1))
    begun = rows["valid_from"] >> hashing.SURELY_UNIT < np.uint64(max(now, 0) >> 46)
    always = rows["valid_from"] == 0
    forever = always & (rows["valid_until"] == _FOREVER)
    units = np.where(begun | always, units, np.uint64(0))
    return np.where(forever, np.uint64(SURELY_FOREVER), units)
