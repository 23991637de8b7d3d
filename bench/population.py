"""Who is registered, and where packets come from; from a seed, so that every run has the same.

Nine of ten registrations are hosts, spread over the whole address space: in IPv4 all of what
is routed, in IPv6 the blocks of 20,000 providers (/32). The others are prefixes in the mix of
lengths that address plans have. An address is a pair of numbers, IPv4 in the second.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.uint64]
Lengths = NDArray[np.uint8]
Flags = NDArray[np.bool_]

PROVIDERS = 20_000
BITS = {4: 32, 6: 128}

# Of prefixes: length, and how many of 100 have it.
_MIX4 = {16: 1, 20: 1, 21: 6, 22: 6, 23: 6, 24: 50, 25: 6, 26: 6, 27: 6, 28: 6, 29: 6}
_MIX6 = {32: 1, 36: 3, 40: 3, 44: 3, 48: 30, 56: 30, 64: 30}

_FIRST_OCTETS = np.array([n for n in range(1, 224) if n not in (10, 127)], np.uint64)
_GATEWAYS4 = np.uint64(198 << 16 | 51 << 8 | 100)  # their /24, which nobody sends from


@dataclass(frozen=True, slots=True)
class Addresses:
    """Columns of equal length."""

    family: int
    high: Column
    low: Column

    def __len__(self) -> int:
        return len(self.low)

    def where(self, flags: Flags) -> "Addresses":
        return Addresses(self.family, self.high[flags], self.low[flags])

    def packed(self) -> NDArray[np.uint8]:
        """Rows of bytes in network order."""
        if self.family == 4:
            return self.low.astype(">u4").view(np.uint8).reshape(-1, 4)
        both = np.column_stack([self.high, self.low]).astype(">u8")
        return both.view(np.uint8).reshape(-1, 16)


@dataclass(frozen=True, slots=True)
class Population:
    """Registered prefixes, all different; hosts have the family's full length."""

    addresses: Addresses
    lengths: Lengths

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def family(self) -> int:
        return self.addresses.family

    @property
    def is_host(self) -> Flags:
        flags: Flags = self.lengths == BITS[self.family]
        return flags


def populate(family: int, count: int, seed: int = 1) -> Population:
    """`count` registrations, nine of ten of them hosts."""
    rng = np.random.default_rng([seed, family])
    hosts = count * 9 // 10
    prefixes = count - hosts
    drawn = spread(family, hosts + hosts // 8 + 64, rng)
    own = _different(drawn, np.full(len(drawn), BITS[family], np.uint8), hosts, rng)
    mix = _MIX4 if family == 4 else _MIX6
    drawn = spread(family, prefixes + prefixes // 2 + 64, rng)
    lengths = rng.choice(
        np.array(list(mix), np.uint8), len(drawn), p=np.array(list(mix.values())) / 100
    )
    nets = _different(first_of(drawn, lengths), lengths, prefixes, rng)
    return joined([own, nets])


def joined(parts: Sequence[Population]) -> Population:
    """Of one family."""
    return Population(
        Addresses(
            parts[0].family,
            np.concatenate([part.addresses.high for part in parts]),
            np.concatenate([part.addresses.low for part in parts]),
        ),
        np.concatenate([part.lengths for part in parts]),
    )


def spread(family: int, count: int, rng: np.random.Generator) -> Addresses:
    """Addresses of the space that hosts are registered in."""
    if family == 4:
        low = rng.choice(_FIRST_OCTETS, count) << np.uint64(24)
        low |= rng.integers(0, 1 << 24, count, np.uint64)
        low = np.where(low >> np.uint64(8) == _GATEWAYS4, low ^ np.uint64(1 << 23), low)
        return Addresses(4, np.zeros(count, np.uint64), low)
    high = rng.choice(providers(), count) << np.uint64(32)
    high |= rng.integers(0, 1 << 32, count, np.uint64)
    return Addresses(6, high, rng.integers(0, 1 << 64, count, np.uint64))


def providers() -> Column:
    """First 32 bits of their blocks, in 2000::/3."""
    rng = np.random.default_rng(6)
    return np.uint64(0x20000000) | rng.integers(0, 1 << 29, PROVIDERS, np.uint64)


def anywhere(family: int, count: int, rng: np.random.Generator) -> Addresses:
    """Sources as a flood invents them: all of what is routed."""
    if family == 4:
        return spread(4, count, rng)
    high = np.uint64(1 << 61) | rng.integers(0, 1 << 61, count, np.uint64)
    return Addresses(6, high, rng.integers(0, 1 << 64, count, np.uint64))


def registered(of: Population, count: int, rng: np.random.Generator) -> Addresses:
    """Sources that are registered: hosts as they are, from prefixes any address inside."""
    at = rng.integers(0, len(of), count)
    lengths = of.lengths[at]
    high, low = of.addresses.high[at], of.addresses.low[at]
    high_mask, low_mask = _masks(of.family, lengths)
    if of.family == 6:
        high = high | rng.integers(0, 1 << 64, count, np.uint64) & ~high_mask
        low = low | rng.integers(0, 1 << 64, count, np.uint64) & ~low_mask
    else:
        low = low | rng.integers(0, 1 << 32, count, np.uint64) & ~low_mask
    return Addresses(of.family, high, low)


def neighbours(of: Population, count: int, rng: np.random.Generator) -> Addresses:
    """Sources from blocks where others are registered: their /24, their provider's /32."""
    at = rng.integers(0, len(of), count)
    if of.family == 4:
        low = of.addresses.low[at] & ~np.uint64(255)
        return Addresses(
            4, np.zeros(count, np.uint64), low | rng.integers(0, 256, count, np.uint64)
        )
    high = of.addresses.high[at] & ~np.uint64((1 << 32) - 1)
    high |= rng.integers(0, 1 << 32, count, np.uint64)
    return Addresses(6, high, rng.integers(0, 1 << 64, count, np.uint64))


def covered(of: Population, sources: Addresses) -> Flags:
    """Which of the sources are registered."""
    prefixes = of.addresses.where(~of.is_host)
    lengths = of.lengths[~of.is_host]
    hosts = of.addresses.where(of.is_host)
    top = 32 if of.family == 4 else 64  # populate() makes no longer prefix of IPv6
    first = prefixes.low if of.family == 4 else prefixes.high
    last = first | _ones(top - lengths.astype(np.uint64))
    order = np.argsort(first)
    first, furthest = first[order], np.maximum.accumulate(last[order])
    place = sources.low if of.family == 4 else sources.high
    at = np.searchsorted(first, place, side="right").astype(np.int64) - 1
    inside = (at >= 0) & (furthest[np.maximum(at, 0)] >= place) if len(first) else at >= 0
    flags: Flags = inside | np.isin(_mixed(sources), _mixed(hosts))
    return flags


def _mixed(addresses: Addresses) -> Column:
    """One number each. Were two of IPv6 alike, one would be taken for the other: no harm."""
    column: Column = addresses.high * np.uint64(0x9E3779B97F4A7C15) ^ addresses.low
    return column


def _different(
    addresses: Addresses, lengths: Lengths, count: int, rng: np.random.Generator
) -> Population:
    """`count` of the prefixes, no two alike, in random order."""
    named = _mixed(addresses) ^ lengths.astype(np.uint64) << np.uint64(40)
    _, first = np.unique(named, return_index=True)
    if len(first) < count:
        raise ValueError(f"{len(first)} different prefixes were drawn, {count} are wanted")
    chosen = rng.permutation(first)[:count]
    return Population(
        Addresses(addresses.family, addresses.high[chosen], addresses.low[chosen]), lengths[chosen]
    )


def first_of(addresses: Addresses, lengths: Lengths) -> Addresses:
    """The first addresses of the prefixes around them."""
    high, low = _masks(addresses.family, lengths)
    return Addresses(addresses.family, addresses.high & high, addresses.low & low)


def _masks(family: int, lengths: Lengths) -> tuple[Column, Column]:
    """Of prefixes, as pairs of numbers."""
    wide = lengths.astype(np.uint64)
    if family == 4:
        return np.zeros_like(wide), ~_ones(np.uint64(32) - wide) & np.uint64(0xFFFFFFFF)
    high = ~_ones(np.uint64(64) - np.minimum(wide, np.uint64(64)))
    return high, ~_ones(np.uint64(128) - np.maximum(wide, np.uint64(64)))


def _ones(count: Column) -> Column:
    """Numbers whose lowest `count` bits are set, 0 to 64."""
    full = np.uint64(64)
    some = (np.uint64(1) << np.minimum(count, np.uint64(63))) - np.uint64(1)
    return np.where(count == full, ~np.uint64(0), some)
