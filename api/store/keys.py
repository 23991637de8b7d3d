"""Addresses and prefixes as keys, in the order in which addresses are.

An address's key is its version and itself; a prefix's is that of its first address and its length.
"""

from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeVar

from api.store.batches import batches
from policy.prefixes import SHORTEST_SOURCE, Address, Network

T = TypeVar("T")

# A source at a gateway, by the gateway's id.
Spot = tuple[int, Address]
# Who has these keys at these gateways: gateway's id, key, what it is.
Fetch = Callable[[Sequence[bytes], set[int]], Iterable[tuple[int, bytes, T]]]

# SQLite takes some 32,000 values in a statement.
AT_ONCE = 10_000


def key_of_address(address: Address) -> bytes:
    return bytes((address.version,)) + address.packed


def address_of(key: bytes) -> Address:
    return IPv4Address(key[1:]) if key[0] == 4 else IPv6Address(key[1:])


def key_of_prefix(prefix: Network) -> bytes:
    return key_of_address(prefix.network_address) + bytes((prefix.prefixlen,))


def prefix_of(key: bytes) -> Network:
    parts = key[1:-1], key[-1]
    return IPv4Network(parts) if key[0] == 4 else IPv6Network(parts)


def around(address: Address, longest: int | None = None) -> list[bytes]:
    """Keys of all prefixes, as long as a source is, that hold an address; the longest first. For
    those that hold a prefix: of its first address, from its length on."""
    number, size = int(address), len(address.packed)
    version = bytes((address.version,))
    bits = size * 8
    return [
        version
        + (number >> (bits - length) << (bits - length)).to_bytes(size, "big")
        + bytes((length,))
        for length in range(
            bits if longest is None else longest, SHORTEST_SOURCE[address.version] - 1, -1
        )
    ]


def over(spots: Iterable[Spot], fetch: Fetch[T]) -> dict[Spot, list[T]]:
    """What `fetch` knows of prefixes that hold these sources there, the longest prefix first."""
    wanted = {spot: around(spot[1]) for spot in set(spots)}
    gateway_ids = {gateway_id for gateway_id, _ in wanted}
    keys = sorted({key for found in wanted.values() for key in found})
    there: dict[tuple[int, bytes], list[T]] = {}
    for some in batches(keys, AT_ONCE):
        for gateway_id, key, each in fetch(some, gateway_ids):
            there.setdefault((gateway_id, key), []).append(each)
    found = {
        spot: [each for key in lengths for each in there.get((spot[0], key), ())]
        for spot, lengths in wanted.items()
    }
    return {spot: each for spot, each in found.items() if each}
