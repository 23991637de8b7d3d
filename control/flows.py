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
# ICMP, UDP, GRE, ESP, ICMPv6: bytes that are no payload.
_SHORT_HEADERS = {1: 8, UDP: 8, 47: 4, 50: 8, 58: 8}


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


def headers(frame: bytes) -> bytes:
    """The frame up to the end of its headers, as far as these are understood."""
    try:
        return frame[: _headers_end(frame)]
    except (struct.error, IndexError):
        return frame


def _flow(frame: bytes) -> Flow | None:
    at, kind = _network(frame)
    if kind in _IPV4:
        addresses = struct.unpack_from("!4s4s", frame, at + 12)
        source: Address = IPv4Address(addresses[0])
        destination: Address = IPv4Address(addresses[1])
    elif kind in _IPV6:
        addresses = struct.unpack_from("!16s16s", frame, at + 8)
        source, destination = IPv6Address(addresses[0]), IPv6Address(addresses[1])
    else:
        return None
    protocol, end, later = _transport(frame, at, kind)
    if protocol not in (TCP, UDP) or later or len(frame) < end + 4:
        return Flow(source, destination, f"proto/{protocol}")
    return Flow(source, destination, str(Service(protocol, _short(frame, end + 2))))


def _headers_end(frame: bytes) -> int:
    at, kind = _network(frame)
    if kind not in (*_IPV4, *_IPV6):
        return at
    protocol, end, later = _transport(frame, at, kind)
    if later:
        return end
    if protocol == TCP:
        return end + max(frame[end + 12] >> 4, 5) * 4
    return end + _SHORT_HEADERS.get(protocol, 0)


def _network(frame: bytes) -> tuple[int, int]:
    """Where the packet begins, and its EtherType."""
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
    return at, kind


def _transport(frame: bytes, at: int, kind: int) -> tuple[int, int, bool]:
    """Protocol and place of what follows IP's headers; whether it is a later fragment."""
    if kind in _IPV4:
        later = _short(frame, at + 6) & 0x1FFF != 0
        return frame[at + 9], at + (frame[at] & 0xF) * 4, later
    protocol, at = frame[at + 6], at + 40
    for _ in range(_MOST_EXTENSIONS):
        if protocol not in _EXTENSIONS:
            break
        if protocol == _FRAGMENT and _short(frame, at + 2) >> 3:
            return frame[at], at + 8, True
        length = 8 if protocol == _FRAGMENT else 8 * (frame[at + 1] + 1)
        protocol, at = frame[at], at + length
    return protocol, at, False


def _short(frame: bytes, at: int) -> int:
    number: int = struct.unpack_from("!H", frame, at)[0]
    return number
