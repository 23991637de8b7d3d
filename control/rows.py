"""Rows of the maps as bytes and back, through the types that bcc built from bpf/peergate.h."""

import struct
import sys
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from socket import htonl, htons, ntohl, ntohs

from control.entries import Entry
from control.errors import DataPlaneError
from control.maps import CType, Record
from control.model import GatewayRow, Target
from policy.prefixes import Address
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


def read_entry(record: Record) -> Entry:
    return Entry(
        peer=record.peer,
        prefix_length=record.prefix_length,
        valid_from=record.valid_from,
        valid_until=record.valid_until,
        ended=bool(record.ended),
    )
