"""What sends packets to the buckets, in tables of any size: memory stands in for the maps."""

import re
from itertools import product

import numpy as np
import pytest

from control import blocks
from control.arrays import BpfArray
from control.buckets import Buckets
from control.columns import ENTRY, Rows
from control.hashing import CLASSES, HASH_BITS, HOSTS4, HOSTS6, Column, Secret
from control.headers import FILTER
from control.lengths import Lengths
from control.maps import BpfMap
from control.overflow import Overflow
from control.pins import ARRAYS
from control.program import program
from control.sizes import Sizes

SECRET = Secret(np.array([7**22, 3**40, 5**27, 11**18], np.uint64))
# Nothing is asked of it as long as nothing overflows.
NO_MAP = BpfMap("overflow", -1, None, None, 0)


def memory(bits: int) -> dict[str, BpfArray]:
    """Pages of it that nothing is written to cost nothing."""
    elements, shapes = sizes(bits).elements(), program(frags=False).shapes
    return {
        name: BpfArray(name, np.zeros(elements.get(name, 1), np.dtype(shapes[name].value)))
        for name in ARRAYS
    }


def sizes(bits: int) -> Sizes:
    """What is asked stands in the place of the first class, whichever it is of."""
    return Sizes((bits, *Sizes().bits[1:]))


def buckets(kind: int, bits: int, arrays: dict[str, BpfArray]) -> Buckets:
    lengths = Lengths(arrays, SECRET, sizes(bits))
    return Buckets(kind, bits, 0, arrays, SECRET, lengths, Overflow(NO_MAP))


def sources(kind: int, count: int) -> Rows:
    rows = np.zeros(count, ENTRY)
    names = np.random.default_rng(1).integers(0, 2**32, (2, count), np.uint64)
    rows["key"]["class"], rows["key"]["gateway"] = kind, 1
    rows["key"]["name"][:, 1] = names[0] | np.uint64(1)
    if kind >= HOSTS6:
        rows["key"]["name"][:, 0] = names[1]
    return rows


def hashes_of(rows: Rows) -> Column:
    gateway, name = rows["key"]["gateway"].astype(np.uint64), rows["key"]["name"]
    return SECRET.hash(int(rows["key"]["class"][0]), gateway, name[:, 0], name[:, 1])


def sent_on(arrays: dict[str, BpfArray], bits: int, hashes: Column) -> Rows:
    """Which of them, as pg_in_filter() has it."""
    shifts = [int(n) for n in re.findall(r"#define PG_BIT\d_SHIFT (\d+)", FILTER.read_text())]
    assert len(shifts) == 4
    words = arrays["filter"].rows["word"].reshape(-1, 2)
    block = words[hashes >> np.uint64(HASH_BITS - bits) >> np.uint64(2)]
    asked = [
        block[:, number // 2] >> (hashes >> np.uint64(shift) & np.uint64(63))
        for number, shift in enumerate(shifts)
    ]
    found: Rows = np.bitwise_and.reduce(asked) & np.uint64(1)
    return found


# The largest are of more hosts than 7/8 of 2^22, which the default limits let in.
@pytest.mark.parametrize(("kind", "bits"), [*product(CLASSES, [2, 12]), (HOSTS4, 21)])
def test_all_that_is_written_is_sent_on(kind: int, bits: int) -> None:
    rows, arrays = sources(kind, min(4 << bits, 100) - 1), memory(bits)
    table, hashes = buckets(kind, bits, arrays), hashes_of(rows)
    assert not len(table.write(rows, 1))
    assert sent_on(arrays, bits, hashes).all()
    words = blocks.words(arrays["filter"], 0, 1 << bits >> 1).copy()
    assert sum(table.check(1)) == 0
    assert (blocks.words(arrays["filter"], 0, 1 << bits >> 1) == words).all()
    arrays = memory(bits)
    buckets(kind, bits, arrays).check_overflowed(rows["key"])
    assert (blocks.words(arrays["filter"], 0, 1 << bits >> 1) == words).all()
