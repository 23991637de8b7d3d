"""Names and hashes of sources, in columns: the counterpart of bpf/hashing.h.

Columns are uint64 arrays of one length. IPv4 stands in the second number of a name; the first
bit behind a prefix is set in its name. Numbers wrap as the kernel's do.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.uint64]
Flags = NDArray[np.bool_]
Pair = tuple[Column, Column]

GATEWAY_BITS = 13
HASH_BITS = GATEWAY_BITS + 32
HOSTS4, PREFIXES4, HOSTS6, PREFIXES6 = range(4)
CLASSES = (HOSTS4, PREFIXES4, HOSTS6, PREFIXES6)

USED = np.uint64(1 << (HASH_BITS + 2))
SURELY_SHIFT = np.uint64(48)
SURELY_FOREVER = 0xFFFF
SURELY_UNIT = np.uint64(46)

GROUP4_MASK = np.uint64(7)  # PG_GROUP4

_HASH_SHIFT = np.uint64(64 - HASH_BITS)
_HASH_MASK = np.uint64((1 << 64) - (1 << 64 - HASH_BITS))
_0, _1, _16, _32, _48 = (np.uint64(n) for n in (0, 1, 16, 32, 48))
_HEADS_BIT4 = np.uint64(1 << 15)  # behind a prefix that is a head
# Of each four bits the second and the fourth, the third and the fourth.
_EVERY_SECOND = np.uint64(0xAAAAAAAAAAAAAAAA)
_EVERY_THIRD_AND_FOURTH = np.uint64(0xCCCCCCCCCCCCCCCC)


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
        return self._hash6_low(self._hash6_high(gateway, high), low)

    def hash_stride(self, gateway: Column, high: Column, low: Column, end: Pair) -> Column:
        """64 bits. `end` is the last bit of the stride, in the number where that is."""
        h = self._hash6_high(gateway, high)
        h ^= low ^ low >> _32
        h *= np.where(end[1], self.words[2], self.words[1]) ^ (end[0] | end[1]) << _1
        return h

    def _hash6_high(self, gateway: Column, high: Column) -> Column:
        h: Column = (high ^ self.words[0]) * self.words[1]
        h ^= h >> _32
        h ^= gateway * self.words[3]
        return h

    def _hash6_low(self, h: Column, low: Column) -> Column:
        h = (h ^ low) * self.words[2]
        h ^= h >> np.uint64(29)
        h *= self.words[1]
        h >>= _HASH_SHIFT
        return h

    def hash_head(self, kind: int, gateway: Column, head: Column) -> Column:
        """64 bits; the uppermost ones are for the cell of `lengths`. Eight heads of IPv4 side by
        side have the same; of these groups the first 13 bits are a permutation."""
        if kind in (HOSTS4, PREFIXES4):
            return self._hash_begin4(gateway, (head & ~GROUP4_MASK) << _48)
        h: Column = ((gateway << _32 | head) ^ self.words[3]) * self.words[1]
        return h

    def hash_part4(self, gateway: Column, part: Column) -> Column:
        """64 bits, of the first 20 of a source."""
        return self._hash_begin4(gateway, part << np.uint64(44))

    def _hash_begin4(self, gateway: Column, begin: Column) -> Column:
        h: Column = ((begin | gateway) ^ self.words[3]) * self.words[1]
        return h

    def hash_own4(self, hashes: Column, source: Column) -> Column:
        """64 bits of IPv4 hosts, of which the upper ones are good; from their heads' hashes on."""
        h: Column = (hashes ^ source) * self.words[2]
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
    """For names of one class: head, what its cell of `lengths` has in its two numbers for prefixes
    near a source, and which are prefixes shorter than a head, whose own is zero."""
    none = np.zeros_like(low)
    no: Flags = np.zeros(len(low), np.bool_)
    if kind == HOSTS4:
        return low >> _16, none, np.zeros_like(low), no
    if kind == HOSTS6:
        return high >> _32, none, np.zeros_like(low), no
    if kind == PREFIXES4:
        bit = lowest_bit(low)
        short = bit > _HEADS_BIT4
        near = _near(low, bit, 12, 4) | _near(low, bit, 8, 4) << _16
        bits = np.where(short, bit, near)
        return np.where(short, none, low >> _16), bits, none, short
    bit = np.where(low == 0, lowest_bit(high), none)
    short = bit > np.uint64(1 << 31)
    near = _near(high, bit, 28, 4) << _32
    bits = np.where(short, bit, bit | near)
    return np.where(short, none, high >> _32), bits, lowest_bit(low), short


def strides(high: Column, low: Column) -> tuple[NDArray[np.intp], Column, Column, Pair]:
    """For names of IPv6 prefixes those of their strides' longest length that are in them: whose
    each is, its two numbers, and its last bit in either."""
    behind_high = np.where(low == 0, lowest_bit(high), _0)
    behind_low = lowest_bit(low)
    last_high: Column = behind_high << _1 | behind_low >> np.uint64(63)
    last_low: Column = behind_low << _1
    # How far the last bit is from that of the longest length.
    away = np.where((last_high | last_low) & _EVERY_SECOND, _1, _0)
    away |= np.where((last_high | last_low) & _EVERY_THIRD_AND_FOURTH, np.uint64(2), _0)
    times = (_1 << away).astype(np.intp)
    whose, number = _repeated(times)
    end_high: Column = (last_high >> away)[whose]
    end_low: Column = (last_low >> away)[whose]
    high = (high ^ behind_high)[whose] + number * end_high
    low = (low ^ behind_low)[whose] + number * end_low
    return whose, high, low, (end_high, end_low)


def parts4(low: Column) -> tuple[NDArray[np.intp], Column, Column]:
    """For names of IPv4 prefixes the parts of heads that they cover or are in: whose each is, its
    20 bits, and what its word of `lengths4` has. None for what is shorter than a head."""
    bit = lowest_bit(low)
    times = np.maximum(_1, bit >> np.uint64(11)).astype(np.intp)
    times[bit > _HEADS_BIT4] = 0
    whose, number = _repeated(times)
    part: Column = ((low ^ bit) >> np.uint64(12))[whose] + number
    bits: Column = (bit | _near(low, bit, 7, 5) << _32)[whose]
    return whose, part, bits


def _repeated(times: NDArray[np.intp]) -> tuple[NDArray[np.intp], Column]:
    """Each place as often as it says, and how many of the same were before."""
    whose: NDArray[np.intp] = np.repeat(np.arange(len(times)), times)
    number = np.arange(len(whose)) - (np.cumsum(times) - times)[whose]
    return whose, number.astype(np.uint64)


def _near(name: Column, bit: Column, first: int, count: int) -> Column:
    """A bit for each value that so many bits of a prefix's sources have, of which `first` is the
    lowest; `bit` stands behind the prefix, or is zero where that is in the other number."""
    mask = np.uint64((1 << count) - 1)
    lowest = (name ^ bit) >> np.uint64(first) & mask
    highest = ((name | bit) | (bit - np.minimum(bit, _1))) >> np.uint64(first) & mask
    return (_1 << highest << _1) - (_1 << lowest)
