"""Rows of the maps as bytes and back, through the types that bcc built from bpf/peergate.h."""

import struct
import sys
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from socket import htonl, htons, ntohl, ntohs

import numpy as np

from control.arrays import Rows
from control.errors import DataPlaneError
from control.hashing import HOSTS4, HOSTS6, PREFIXES4, PREFIXES6
from control.maps import CType, Record
from control.model import Entry, GatewayRow, SourceKey, Target
from policy.prefixes import Address, Network
from policy.services import Service

# The four words of struct pg_address.
_WORDS = struct.Struct("=4I")


def number_key(number: int) -> bytes:
    """A __u32, such as a gateway's number."""
    return number.to_bytes(4, sys.byteorder)


def fill_address(record: Record, address: Address) -> None:
    """Make a struct pg_address hold `address`."""
    record.family = htonl(address.version)
    record.word[:] = _WORDS.unpack(address.packed.ljust(_WORDS.size, b"\0"))


def read_address(record: Record) -> Address:
    """Raises ValueError for what `fill_address` never makes."""
    packed, family = _WORDS.pack(*record.word), ntohl(record.family)
    if family == 4 and not any(packed[4:]):
        return IPv4Address(packed[:4])
    if family == 6:
        return IPv6Address(packed)
    raise ValueError(f"{packed.hex()} of family {family} is no address")


def gateway_value(gateway_type: CType, row: GatewayRow) -> bytes:
    return bytes(gateway_type(row.enforce_from, row.enforce_until, row.name.encode()))


def read_gateway(record: Record) -> GatewayRow:
    return GatewayRow(
        record.name.decode(errors="replace"), record.enforce_from, record.enforce_until
    )


def target_value(target_type: CType, address: Address, target: Target) -> bytes:
    """Raises DataPlaneError for more services than a target holds."""
    value = target_type()
    if len(target.services) > len(value.services):
        raise DataPlaneError(
            f"{len(target.services)} services at one address: it has at most "
            f"{len(value.services)}; take some off its gateways"
        )
    numbers = target.gateways
    fill_address(value.address, address)
    value.service_count = len(target.services)
    value.gateway_count = len(numbers)
    value.gateways[: len(numbers)] = numbers
    value.later = target.later or min(numbers, default=0)
    for i, (service, number) in enumerate(target.services):
        slot = value.services[i]
        slot.protocol = service.protocol
        slot.has_port = service.port is not None
        slot.port = htons(service.port or 0)
        slot.gateway = number
    return bytes(value)


def read_target(record: Record) -> Target:
    used = record.services[: record.service_count]
    services = tuple(
        (Service(s.protocol, ntohs(s.port) if s.has_port else None), s.gateway) for s in used
    )
    target = Target(services)
    return replace(target, later=record.later if len(target.gateways) > 1 else 0)


def class_of(network: Network) -> int:
    if network.prefixlen == network.max_prefixlen:
        return HOSTS4 if network.version == 4 else HOSTS6
    return PREFIXES4 if network.version == 4 else PREFIXES6


def name_of(network: Network) -> tuple[int, int, int]:
    """Class and name of a source (bpf/peergate.h)."""
    number = int(network.network_address)
    if network.prefixlen < network.max_prefixlen:
        number |= 1 << (network.max_prefixlen - network.prefixlen - 1)
    return class_of(network), number >> 64, number & (1 << 64) - 1


def network_of(kind: int, high: int, low: int) -> Network:
    """The source with this class and name."""
    number = high << 64 | low
    if kind == HOSTS4:
        return IPv4Network(number)
    if kind == HOSTS6:
        return IPv6Network(number)
    behind = number & -number
    length = (32 if kind == PREFIXES4 else 128) - behind.bit_length()
    if kind == PREFIXES4:
        return IPv4Network((number ^ behind, length))
    return IPv6Network((number ^ behind, length))


def entry_rows(entries: Mapping[SourceKey, Entry], dtype: np.dtype[np.void]) -> Rows:
    """Columns of struct pg_entry."""
    rows = np.zeros(len(entries), dtype)
    for i, ((gateway, network), entry) in enumerate(entries.items()):
        kind, high, low = name_of(network)
        key = (np.array((high, low), np.uint64), gateway, kind)
        rows[i] = (
            *(key, entry.valid_from, entry.valid_until, entry.peer),
            *(entry.prefix_length, entry.ended, 0, 0),
        )
    return rows


def read_entries(rows: Rows) -> dict[SourceKey, Entry]:
    columns = (
        *(rows["key"]["gateway"], rows["key"]["class"]),
        *(rows["key"]["name"][:, 0], rows["key"]["name"][:, 1]),
        *(rows["peer"], rows["prefix_length"]),
        *(rows["valid_from"], rows["valid_until"], rows["ended"]),
    )
    return {
        (gateway, network_of(kind, high, low)): Entry(peer, length, start, end, bool(ended))
        for gateway, kind, high, low, peer, length, start, end, ended in zip(
            *(column.tolist() for column in columns), strict=True
        )
    }


def read_entry(record: Record) -> Entry:
    return Entry(
        peer=record.peer,
        prefix_length=record.prefix_length,
        valid_from=record.valid_from,
        valid_until=record.valid_until,
        ended=bool(record.ended),
    )
