"""How large tables are made, from what they have to hold; they only ever grow."""

from dataclasses import dataclass
from itertools import accumulate, count
from typing import Any, Self

from control import samples
from control.hashing import HASH_BITS
from policy.prefixes import ADDRESSES_PER_ROUTER

# Numbers of gateways; above them are those of groups that share addresses.
GATEWAYS_MAX = 4_096
NUMBERS_MAX = 8_191

ENTRIES_A_BUCKET = 4
CLASSES = ("IPv4 hosts", "IPv4 prefixes", "IPv6 hosts", "IPv6 prefixes")

_LEAST_BITS = 2  # four buckets share a block of `filter`
_LEAST_ADDRESSES_BITS = 3
_LINES_BITS = 2  # PG_LINES_BITS
_LEAST_GATEWAYS = 15

# Bytes of each map's elements, as bpf/peergate.h has them; of a hash, before it has entries.
_BYTES = {
    "root": 4224,
    "addresses": 64,
    "targets": 256,
    "gateways": 80,
    "lengths4": 16,
    "lengths6": 16,
    "filter": 64,
    "buckets": 64,
    "entries": 48,
    "overflow": 16,
}
_COUNTERS_BYTES = 256  # of one gateway, for each CPU


# Entries of each class.
Counts = tuple[int, int, int, int]


def plus(some: Counts, others: Counts) -> Counts:
    hosts4, prefixes4, hosts6, prefixes6 = (a + b for a, b in zip(some, others, strict=True))
    return hosts4, prefixes4, hosts6, prefixes6


def less(some: Counts, others: Counts) -> Counts:
    hosts4, prefixes4, hosts6, prefixes6 = (a - b for a, b in zip(some, others, strict=True))
    return hosts4, prefixes4, hosts6, prefixes6


@dataclass(frozen=True, slots=True)
class Need:
    """What is to be held: entries of each class, addresses, and the highest gateway number."""

    entries: Counts
    addresses: int
    gateways: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be held at most, entries for each family."""

    max_hosts: int = 4_194_304
    max_prefixes: int = 1_048_576
    max_gateways: int = GATEWAYS_MAX


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bits of each class's buckets and of the addresses, and the highest gateway number."""

    bits: Counts = (_LEAST_BITS,) * 4
    addresses_bits: int = _LEAST_ADDRESSES_BITS
    gateways: int = _LEAST_GATEWAYS

    @classmethod
    def room_for(cls, hosts: int, prefixes: int, gateways: int) -> Self:
        """Of each family as many; and all addresses that a router may have."""
        each = _bits(hosts), _bits(prefixes)
        return cls((*each, *each), _log2(ADDRESSES_PER_ROUTER), gateways)

    @classmethod
    def named(cls, name: str) -> Self:
        """From `name`. Raises ValueError."""
        numbers = [int(word, 16) for word in name.split("-")]
        hosts4, prefixes4, hosts6, prefixes6, addresses, gateways = numbers
        return cls((hosts4, prefixes4, hosts6, prefixes6), addresses, gateways)

    @property
    def name(self) -> str:
        return "-".join(
            f"{number:x}" for number in (*self.bits, self.addresses_bits, self.gateways)
        )

    def hold(self, need: Need) -> bool:
        """Whether there is room, and some to spare: what changes stands twice for a moment."""
        return (
            all(n <= _usable(bits) for n, bits in zip(need.entries, self.bits, strict=True))
            and need.addresses <= 1 << self.addresses_bits
            and need.gateways <= self.gateways
        )

    def grown(self, need: Need) -> "Sizes":
        """At least as large as these, and as the least powers of two that hold `need`: what is
        larger than it must be lies outside of the CPU's caches."""
        hosts4, prefixes4, hosts6, prefixes6 = (
            next(bits for bits in count(least) if n <= _usable(bits))
            for n, least in zip(need.entries, self.bits, strict=True)
        )
        gateways = self.gateways
        while gateways < min(need.gateways, GATEWAYS_MAX):
            gateways = min(2 * gateways + 1, GATEWAYS_MAX)
        return Sizes(
            (hosts4, prefixes4, hosts6, prefixes6),
            max(self.addresses_bits, _log2(need.addresses)),
            gateways,
        )

    def elements(self) -> dict[str, int]:
        """How many each map has, but for `samples`: that is the machine's."""
        buckets = sum(1 << bits for bits in self.bits)
        numbers = self.gateways + 1
        return {
            "root": 1,
            "addresses": 2 << self.addresses_bits + _LINES_BITS,
            "targets": 2 << self.addresses_bits,
            "gateways": 2 * numbers,
            "lengths4": (self.parts4[0] + (1 << self.parts4[1])) // 2,
            "lengths6": 1 << self.cells_bits[1],
            "filter": -(-(buckets // 2 + (1 << self.strides[1])) // 8),
            "buckets": buckets,
            "entries": buckets * ENTRIES_A_BUCKET,
            "overflow": max(64, buckets // 4),
            "counters": numbers,
            "explanation": 1,
            "head": 1,
        }

    @property
    def cells_bits(self) -> tuple[int, int]:
        """Of the cells of `lengths4` and `lengths6`.

        So many that they let few strangers through: of IPv4 seven hosts or two prefixes share a
        cell at most, until there is one for each of 2^16 heads. No more than stays in the CPU's
        second cache; beyond that they are for many gateways. A head of IPv6 has many hosts. Eight
        at least: a group of IPv4 heads.
        """
        hosts4, prefixes4, hosts6, prefixes6 = self.bits
        six = max(min(15, max(hosts6, prefixes6) + 4), prefixes6, hosts6 - 3)
        return max(min(16, max(hosts4 - 1, prefixes4 + 1)), prefixes4 - 2), six

    @property
    def strides(self) -> tuple[int, int]:
        """Of the strides of IPv6: their first word in `filter`, and the bits of how many there are.
        A prefix stands there up to eight times, and mostly once."""
        return sum(1 << bits for bits in self.bits) // 2, self.bits[3] + 1

    @property
    def parts4(self) -> tuple[int, int]:
        """The same of the parts of IPv4 heads, in `lengths4`, behind the cells. Twice as many as
        buckets: few prefixes share one."""
        return 2 << self.cells_bits[0], self.bits[1] + 1

    def root(self) -> dict[str, Any]:
        """What struct pg_root says of them."""
        firsts = accumulate((1 << bits for bits in self.bits), initial=0)
        first, bits = self.strides
        return {
            "strides": (first, 64 - bits),
            "parts4": (self.parts4[0], 64 - self.parts4[1]),
            "lines": 2 * ((1 << self.addresses_bits + _LINES_BITS) - 1),
            "cells4_shift": 64 - self.cells_bits[0],
            "cells6_shift": 64 - self.cells_bits[1],
            "rooms": list(zip(firsts, (HASH_BITS - b for b in self.bits), strict=False)),
        }

    def bytes(self, cpus: int) -> int:
        """What the maps take."""
        elements = self.elements()
        maps = sum(size * elements[name] for name, size in _BYTES.items())
        return maps + (elements["counters"] * _COUNTERS_BYTES + samples.BYTES) * cpus


def _bits(entries: int) -> int:
    return max(_LEAST_BITS, _log2(entries) - 2)


def _log2(number: int) -> int:
    """Rounded up."""
    return max(number - 1, 0).bit_length()


def _usable(bits: int) -> int:
    return (ENTRIES_A_BUCKET << bits) * 7 // 8
