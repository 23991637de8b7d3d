"""Whose packet a frame is, for people to read: the program alone decides what becomes of it."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from policy.prefixes import Address
from policy.services import TCP, UDP, Service

_VLAN = (0x8100, 0x88A8)
_PPPOE = 0x8864
_IPV4, _IPV6 = (0x0800, 0x0021), (0x86DD, 0x0057)  # in Ethernet, in PPP
_FRAGMENT = 44
_EXTENSIONS = frozenset({0, 43, _FRAGMENT, 60, 135, 139, 140})
_MOST_EXTENSIONS = 8


@dataclass(frozen=True, slots=True)
class Flow:
    """Later fragments show no port: their service is a bare protocol, as in proto/17."""

    source: Address
    destination: Address
    service: str


def flow(frame: bytes) -> Flow | None:
    """None where its headers do not say."""
    try:
        return _flow(frame)
    except (struct.error, IndexError):
        return None


def _flow(frame: bytes) -> Flow | None:
    at = 12
    kind = _short(frame, at)
    for _ in range(2):
        if kind in _VLAN:
            at += 4
            kind = _short(frame, at)
    at += 2
    if kind == _PPPOE:
        kind = _short(frame, at + 6)
        at += 8
    if kind in _IPV4:
        later = _short(frame, at + 6) & 0x1FFF != 0
        addresses = struct.unpack_from("!4s4s", frame, at + 12)
        source, destination = map(IPv4Address, addresses)
        end = at + (frame[at] & 0xF) * 4
        return Flow(source, destination, _service(frame, end, frame[at + 9], later=later))
    if kind in _IPV6:
        addresses = struct.unpack_from("!16s16s", frame, at + 8)
        source6, destination6 = map(IPv6Address, addresses)
        service = _behind_extensions(frame, at + 40, frame[at + 6])
        return Flow(source6, destination6, service)
    return None


def _behind_extensions(frame: bytes, at: int, protocol: int) -> str:
    for _ in range(_MOST_EXTENSIONS):
        if protocol not in _EXTENSIONS:
            break
        if protocol == _FRAGMENT and _short(frame, at + 2) >> 3:
            return f"proto/{frame[at]}"
        length = 8 if protocol == _FRAGMENT else 8 * (frame[at + 1] + 1)
        protocol, at = frame[at], at + length
    return _service(frame, at, protocol, later=False)


def _service(frame: bytes, at: int, protocol: int, *, later: bool) -> str:
    if protocol not in (TCP, UDP) or later or len(frame) < at + 4:
        return f"proto/{protocol}"
    return str(Service(protocol, _short(frame, at + 2)))


def _short(frame: bytes, at: int) -> int:
    number: int = struct.unpack_from("!H", frame, at)[0]
    return number
