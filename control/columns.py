"""Sources at gateways in columns: as they sort, and as the maps name them (bpf/peergate.h).

Sorted, a wider prefix stands right before all that it covers, at the same gateway and in the
same family. There addresses are left-aligned in 128 bits, so that a mask is one of both families.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import numpy as np
from numpy.typing import NDArray

from control.hashing import HOSTS4, HOSTS6, Column, lowest_bit
from policy.prefixes import Address, Network

Rows = NDArray[Any]

# struct pg_key and struct pg_entry; the data plane compares them with what bcc read there.
KEY = np.dtype([("name", "u8", 2), ("gateway", "u4"), ("class", "u4")])
ENTRY = np.dtype(
    [
        ("key", KEY),
        ("valid_from", "u8"),
        ("valid_until", "u8"),
        ("peer", "u4"),
        ("prefix_length", "u1"),
        ("ended", "u1"),
        ("seen", "u1"),
        ("pad", "u1"),
    ]
)

# How a source at a gateway sorts: as these bytes do. The last one is never 0.
PLACE = np.dtype(
    [("gateway", ">u2"), ("family", "u1"), ("high", ">u8"), ("low", ">u8"), ("length", "u1")]
)
SORTED = np.dtype(f"S{PLACE.itemsize}")

# So many are looked at together: what that takes of memory is bounded.
_AT_ONCE = 1 << 16

SourceKey = tuple[int, Network]

_WHOLE = (1 << 64) - 1
_32 = np.uint64(32)
_ONE = np.uint64(1)
# By length, which of an address's upper and lower 64 bits belong to a prefix.
HIGH_MASK = np.array([_WHOLE >> min(n, 64) ^ _WHOLE for n in range(129)], np.uint64)
LOW_MASK = np.array([_WHOLE >> max(n - 64, 0) ^ _WHOLE for n in range(129)], np.uint64)


def places(sources: Iterable[SourceKey]) -> Rows:
    """The sources as PLACE, in their order."""
    rows = []
    for gateway, network in sources:
        number = int(network.network_address) << (128 - network.max_prefixlen)
        parts = gateway, network.version, number >> 64, number & _WHOLE, network.prefixlen
        rows.append(parts)
    return np.array(rows, PLACE)


def sortable(place: Rows) -> Rows:
    """PLACE as SORTED, which compares; no copy, but where NumPy turned the bytes of fields."""
    return np.ascontiguousarray(place, PLACE).view(SORTED)


def placed(keys: Rows) -> Rows:
    """SORTED as PLACE; no copy."""
    return np.ascontiguousarray(keys).view(PLACE)


def key_rows(place: Rows) -> Rows:
    """Struct pg_key of each PLACE."""
    six = place["family"] == 6
    length = place["length"].astype(np.int64)
    host = length == np.where(six, 128, 32)
    high, low = place["high"].astype(np.uint64), place["low"].astype(np.uint64)
    # The first bit behind the prefix.
    ours = ~host & (length < 64)
    high[ours] |= _ONE << (63 - length[ours]).astype(np.uint64)
    ours = ~host & (length >= 64)
    low[ours] |= _ONE << (127 - length[ours]).astype(np.uint64)
    rows = np.zeros(len(place), KEY)
    rows["name"][:, 0] = np.where(six, high, np.uint64(0))
    rows["name"][:, 1] = np.where(six, low, high >> _32)
    rows["gateway"] = place["gateway"]
    rows["class"] = 2 * six + ~host
    return rows


def place_of(keys: Rows) -> Rows:
    """PLACE of each struct pg_key; a length is 0 where the name is of no such class."""
    kind = keys["class"]
    six = kind >= HOSTS6
    host = (kind == HOSTS4) | (kind == HOSTS6)
    high, low = keys["name"][:, 0].copy(), keys["name"][:, 1].copy()
    high[~six] = low[~six] << _32
    low[~six] = 0
    whole = np.where(six, 128, 32)
    length = np.where(host, whole, 0)
    in_low = ~host & (low != 0)
    length[in_low] = 128 - _bits(lowest_bit(low[in_low]))
    low[in_low] &= low[in_low] - _ONE
    in_high = ~host & ~in_low
    length[in_high] = 64 - _bits(lowest_bit(high[in_high]))
    high[in_high] &= high[in_high] - _ONE
    length[length > whole] = 0
    rows = np.zeros(len(keys), PLACE)
    rows["gateway"], rows["family"] = keys["gateway"], np.where(six, 6, 4)
    rows["high"], rows["low"], rows["length"] = high, low, length
    return rows


def _bits(powers: Column) -> NDArray[np.int64]:
    """How many bits each power of two has."""
    return np.frexp(powers.astype(np.float64))[1].astype(np.int64)


def common_bits(keys: Rows, source: Address) -> NDArray[np.uint8]:
    """Of each prefix (SORTED), how many leading bits the source shares; 0 in the other family."""
    number = int(source) << (128 - source.max_prefixlen)
    high, low = np.uint64(number >> 64), np.uint64(number & _WHOLE)
    found = np.zeros(len(keys), np.uint8)
    for first in range(0, len(keys), _AT_ONCE):
        place = placed(keys[first : first + _AT_ONCE])
        upper = _lengths(place["high"].astype(np.uint64) ^ high)
        lower = _lengths(place["low"].astype(np.uint64) ^ low)
        same = 128 - np.where(upper > 0, 64 + upper, lower)
        ours = place["family"] == source.version
        found[first : first + _AT_ONCE] = np.where(ours, np.minimum(same, place["length"]), 0)
    return found


def _lengths(numbers: Column) -> NDArray[np.int64]:
    """How many bits each number has; a float has room for half of them."""
    upper = numbers >> _32
    part = np.where(upper > 0, upper, numbers)
    return np.frexp(part.astype(np.float64))[1] + np.where(upper > 0, 32, 0)


def networks(place: Rows) -> Iterable[Network]:
    """The prefix of each PLACE."""
    columns = (place[name].tolist() for name in ("family", "high", "low", "length"))
    for family, high, low, length in zip(*columns, strict=True):
        if family == 4:
            yield IPv4Network((high >> 32, length))
        else:
            yield IPv6Network((high << 64 | low, length))
