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
from policy.prefixes import Network

_GATEWAY_AND_FAMILY_BITS = 64


@dataclass(frozen=True, slots=True)
class Sources:
    """The entries of all gateways, in two maps."""

    hosts: BpfMap
    prefixes: BpfMap

    def read(self) -> dict[SourceKey, Entry]:
        entries: dict[SourceKey, Entry] = {}
        for key, value in self.hosts.items():
            entries[_source(key, None)] = read_entry(value)
        for key, value in self.prefixes.items():
            length = key.length - _GATEWAY_AND_FAMILY_BITS
            entries[_source(key.source, length)] = read_entry(value)
        return entries

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


def _source(record: Record, length: int | None) -> SourceKey:
    """The key that a struct pg_source stands for; without a length, a host's."""
    address = read_address(record.address)
    bits = address.max_prefixlen if length is None else length
    if address.version == 4:
        return ntohl(record.gateway), IPv4Network((int(address), bits))
    return ntohl(record.gateway), IPv6Network((int(address), bits))
