"""Which bits stand for a hash: in `filter` of a source and of a stride, in `lengths4` of a host."""

import numpy as np

from control.arrays import BpfArray
from control.columns import Rows
from control.hashing import Column

# Of a source, which has four bits of a block: how many buckets share one, and its words.
BUCKETS, WORDS = 4, 2

# Behind each are the bits of a hash that count: PG_BIT1_SHIFT to PG_BIT4_SHIFT, and PG_STRIDE's.
_SHIFTS = np.array([1, 7, 13, 19], np.uint64)
_STRIDE_SHIFTS = np.array([28, 34], np.uint64)
# Of IPv4 hosts' own hashes, PG_OWN4_BIT1_SHIFT to PG_OWN4_BIT3_SHIFT.
_OWN4_SHIFTS = np.array([47, 52, 58], np.uint64)
_OWN4 = np.uint64(32)
_ONE, _LOW5, _LOW6 = np.uint64(1), np.uint64(31), np.uint64(63)


def words(array: BpfArray, first: int, count: int) -> Rows:
    """As many from the first one on."""
    every: Rows = array.rows["word"].reshape(-1)[first : first + count]
    return every


def bits(hashes: Column) -> Column:
    """Of both words of a source's block, in a last axis. In large tables some of a hash also say
    which bucket."""
    return np.stack([_two(hashes, *_SHIFTS[:2]), _two(hashes, *_SHIFTS[2:])], axis=-1)


def of_sources(bucket: Rows, hashes: Column) -> tuple[Rows, Column]:
    """Words, counted from the first bucket's, and what each has there."""
    at = (bucket // BUCKETS * WORDS)[:, None] + np.arange(WORDS)
    return at.reshape(-1), bits(hashes).reshape(-1)


def of_hosts4(hashes: Column) -> tuple[Column, Column]:
    """What its head's cell of `lengths4` has of each in either number: one bit, and two."""
    one: Column = _ONE << (hashes >> _OWN4_SHIFTS[0] & _LOW5) + _OWN4
    return one, _two(hashes, *_OWN4_SHIFTS[1:])


def of_strides(hashes: Column, shift: np.uint64) -> tuple[Rows, Column]:
    """The same of a stride, which has two bits of one word."""
    return (hashes >> shift).astype(np.int64), _two(hashes, *_STRIDE_SHIFTS)


def _two(hashes: Column, one: np.uint64, other: np.uint64) -> Column:
    both: Column = _ONE << (hashes >> one & _LOW6) | _ONE << (hashes >> other & _LOW6)
    return both
