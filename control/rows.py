"""Rows of the maps as bytes and back, through the types that bcc built from bpf/peergate.h."""

import struct
import sys
from collections.abc import Collection
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from socket import htons, ntohs

from control.entries import Entry
from control.errors import DataPlaneError
from control.maps import CType, Record
from control.model import GatewayRow, Target
from policy.prefixes import Address
from policy.services import Service

# The numbers of struct pg_address; IPv4 stands in the second.
_NUMBERS = struct.Struct(">2Q")
_DROPS = 1 << 31  # PG_DROPS


def number_key(number: int) -> bytes:
    """A __u32, such as a gateway's number."""
    return number.to_bytes(4, sys.byteorder)


def fill_address(record: Record, address: Address) -> None:
    """Make a struct pg_address hold `address`."""
    record.number[:] = _NUMBERS.unpack(address.packed.rjust(_NUMBERS.size, b"\0"))
    record.version = address.version


def read_address(record: Record) -> Address:
    """Raises ValueError for what `fill_address` never makes."""
    packed = _NUMBERS.pack(*record.number)
    if record.version == 4 and not any(packed[:12]):
        return IPv4Address(packed[12:])
    if record.version == 6:
        return IPv6Address(packed)
    raise ValueError(f"{packed.hex()} of version {record.version} is no address")


def gateway_value(gateway_type: CType, row: GatewayRow) -> bytes:
    return bytes(gateway_type(row.enforce_from, row.enforce_until, row.name.encode()))


def read_gateway(record: Record) -> GatewayRow:
    return GatewayRow(
        record.name.decode(errors="replace"), record.enforce_from, record.enforce_until
    )


def target_value(
    target_type: CType, address: Address, target: Target, always: Collection[int]
) -> bytes:
    """`always`: the gateways that enforce whatever the time is.

    Raises DataPlaneError for more services than a target holds.
    """
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
        slot.gateway = number | (_DROPS if number in always else 0)
    return bytes(value)


def read_target(record: Record) -> Target:
    used = record.services[: record.service_count]
    services = tuple(
        (Service(s.protocol, ntohs(s.port) if s.has_port else None), s.gateway & ~_DROPS)
        for s in used
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
