"""How sources are stored: the counterpart of pg_find_source() in bpf/peergate.c.

Nothing else knows that hosts stand in a hash and prefixes in a longest-prefix trie.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from socket import htonl, ntohl

from control.errors import MapFullError
from control.maps import BpfMap, Record
from control.model import Entry, SourceKey
from control.rows import entry_value, fill_address, read_address, read_entry
from policy.prefixes import Address, Network

_GATEWAY_AND_FAMILY_BITS = 64


@dataclass(frozen=True, slots=True)
class Sources:
    """The entries of all gateways, in two maps."""

    hosts: BpfMap
    prefixes: BpfMap

    def read(self) -> dict[SourceKey, Entry]:
        entries: dict[SourceKey, Entry] = {}
        for source, value in self.hosts.rows(_read_host):
            entries[source] = read_entry(value)
        for source, value in self.prefixes.rows(_read_prefix):
            entries[source] = read_entry(value)
        return entries

    def delete_strays(self) -> int:
        return self.hosts.delete_strays(_read_host) + self.prefixes.delete_strays(_read_prefix)

    def write(self, entries: Mapping[SourceKey, Entry]) -> dict[SourceKey, Entry]:
        """Write the entries; those that found no room come back."""
        left: dict[SourceKey, Entry] = {}
        for table, mine in self._split(entries):
            done = table.write(
                [(self._key(key), entry_value(table.value, entries[key])) for key in mine]
            )
            left |= {key: entries[key] for key in mine[done:]}
        return left

    def delete(self, keys: Iterable[SourceKey]) -> None:
        for table, mine in self._split(keys):
            table.delete([self._key(key) for key in mine])

    def full(self, left: Iterable[SourceKey]) -> MapFullError:
        """The error that says which map had no room for what `write` gave back."""
        table, mine = max(self._split(left), key=lambda part: len(part[1]))
        wanted = table.max_entries + len(mine)
        return MapFullError(table.name, table.max_entries, wanted, f"max_{table.name}")

    def _split(self, keys: Iterable[SourceKey]) -> tuple[tuple[BpfMap, list[SourceKey]], ...]:
        hosts: list[SourceKey] = []
        prefixes: list[SourceKey] = []
        for key in keys:
            (hosts if _is_host(key[1]) else prefixes).append(key)
        return (self.hosts, hosts), (self.prefixes, prefixes)

    def _key(self, source: SourceKey) -> bytes:
        gateway, network = source
        if _is_host(network):
            key = self.hosts.key()
            key.gateway = htonl(gateway)
            fill_address(key.address, network.network_address)
            return bytes(key)
        prefix = self.prefixes.key(length=_GATEWAY_AND_FAMILY_BITS + network.prefixlen)
        prefix.source.gateway = htonl(gateway)
        fill_address(prefix.source.address, network.network_address)
        return bytes(prefix)


def _is_host(network: Network) -> bool:
    return network.prefixlen == network.max_prefixlen


def _read_host(record: Record) -> SourceKey:
    """The key that a struct pg_source stands for; raises ValueError where we never write it."""
    address = read_address(record.address)
    return _source_key(record.gateway, address, address.max_prefixlen)


def _read_prefix(record: Record) -> SourceKey:
    """The same of a struct pg_prefix; bits past its length do not count."""
    length = record.length - _GATEWAY_AND_FAMILY_BITS
    key = _source_key(record.source.gateway, read_address(record.source.address), length)
    if _is_host(key[1]):
        raise ValueError(f"{key[1]} belongs into the other map")
    return key


def _source_key(gateway: int, address: Address, length: int) -> SourceKey:
    if address.version == 4:
        return ntohl(gateway), IPv4Network((int(address), length), strict=False)
    return ntohl(gateway), IPv6Network((int(address), length), strict=False)
