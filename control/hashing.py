"""Names and hashes of sources, in columns: the counterpart of bpf/hashing.h.

Columns are uint64 arrays of one length. IPv4 stands in the second number of a name; the first
bit behind a prefix is set in its name. Numbers wrap as the kernel's do.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.uint64]
Flags = NDArray[np.bool_]

GATEWAY_BITS = 13
HASH_BITS = GATEWAY_BITS + 32
HOSTS4, PREFIXES4, HOSTS6, PREFIXES6 = range(4)
CLASSES = (HOSTS4, PREFIXES4, HOSTS6, PREFIXES6)

USED = np.uint64(1 << (HASH_BITS + 2))
SURELY_SHIFT = np.uint64(48)
SURELY_FOREVER = 0xFFFF
SURELY_UNIT = np.uint64(46)

_HASH_SHIFT = np.uint64(64 - HASH_BITS)
_HASH_MASK = np.uint64((1 << 64) - (1 << 64 - HASH_BITS))
_1, _32, _48 = np.uint64(1), np.uint64(32), np.uint64(48)


@dataclass(frozen=True, slots=True)
class Secret:
    """What `root` holds: four numbers, of which the second and the third are odd."""

    words: Column

    def hash(self, kind: int, gateway: Column, high: Column, low: Column) -> Column:
        """HASH_BITS bits; of an IPv4 key a permutation."""
        s = self.words
        if kind in (HOSTS4, PREFIXES4):
            h: Column = ((gateway << _32 | low) << _HASH_SHIFT ^ s[0]) * s[1]
            h ^= h >> np.uint64(23) & _HASH_MASK
            h *= s[2]
            h >>= _HASH_SHIFT
            return h
        h = (high ^ s[0]) * s[1]
        h ^= h >> _32
        h = (h ^ low ^ gateway * s[3]) * s[2]
        h ^= h >> np.uint64(29)
        h *= s[1]
        h >>= _HASH_SHIFT
        return h

    def hash_head(self, kind: int, gateway: Column, head: Column) -> Column:
        """64 bits; the uppermost ones are for the cell of `lengths`. Of an IPv4 head the first 16
        are a permutation."""
        named = head << _48 | gateway if kind in (HOSTS4, PREFIXES4) else gateway << _32 | head
        h: Column = (named ^ self.words[3]) * self.words[1]
        return h


def hash_address(high: Column, low: Column, version: Column, seed: int) -> Column:
    """Of destinations; two that are different differ in it under almost every seed."""
    h: Column = (high ^ np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    h ^= h >> _32
    h = np.where(version == 4, np.uint64(seed), h)
    return (h ^ low) * np.uint64(0xD6E8FEB86659FD93)


def lowest_bit(column: Column) -> Column:
    return column & (~column + np.uint64(1))


def around(kind: int, high: Column, low: Column) -> tuple[Column, Column, Column, Flags]:
    """For names of one class: head, what its cell of `lengths` has for them in its two numbers but
    for the head's own bit, and which are prefixes shorter than a head, whose own is zero."""
    none = np.zeros_like(low)
    no: Flags = np.zeros(len(low), np.bool_)
    if kind == HOSTS4:
        return low >> np.uint64(16), none, np.zeros_like(low), no
    if kind == HOSTS6:
        return high >> _32, none, np.zeros_like(low), no
    if kind == PREFIXES4:
        bit = lowest_bit(low)
        short = bit > np.uint64(1 << 15)
        near = _near(low, bit, 12) << np.uint64(16)
        bits = np.where(short, bit, bit | near)
        return np.where(short, none, low >> np.uint64(16)), none, bits, short
    bit = np.where(low == 0, lowest_bit(high), none)
    short = bit > np.uint64(1 << 31)
    near = _near(high, bit, 28) << _32
    bits = np.where(short, bit, bit | near)
    return np.where(short, none, high >> _32), bits, lowest_bit(low), short


def _near(name: Column, bit: Column, first: int) -> Column:
    """A bit for each value that 4 bits of a prefix's sources have, of which `first` is the lowest;
    `bit` stands behind the prefix, or is zero where that is in the other number."""
    mask = np.uint64(15)
    lowest = (name ^ bit) >> np.uint64(first) & mask
    highest = ((name | bit) | (bit - np.minimum(bit, _1))) >> np.uint64(first) & mask
    return (_1 << highest << _1) - (_1 << lowest)
