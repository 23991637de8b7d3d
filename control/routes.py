"""Where packets leave this router, read from the kernel's tables.

A router may hold a million routes, which pyroute2 takes a minute to decode: these few questions
go over a netlink socket of their own, and answers are looked at as bytes, in a second.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from control.errors import LinkError

# linux/netlink.h, linux/rtnetlink.h, linux/xfrm.h, linux/lwtunnel.h
_REQUEST, _DUMP = 0x001, 0x300
_ERROR, _DONE = 2, 3
_GETROUTE, _NEWROUTE = 26, 24
_UNICAST = 1
_OIF, _GATEWAY, _MULTIPATH, _VIA, _ENCAP_TYPE = 4, 5, 9, 18, 21
_NEXT_HOPS = (_GATEWAY, _MULTIPATH, _VIA)
_ENCAP_SEG6_LOCAL = 7
_NETLINK_XFRM = 6
_GETSADINFO, _NEWSADINFO = 35, 34
_SAD_COUNT = 1

# What the kernel sends at once in a dump is 32 KiB at most.
_PART = 1 << 16

_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, ..., type, flags
_ATTRIBUTE = struct.Struct("=HH")
_NEXTHOP = struct.Struct("=HBBi")
_SEG6_LOCAL = _ATTRIBUTE.pack(6, _ENCAP_TYPE) + struct.pack("=H", _ENCAP_SEG6_LOCAL)


@dataclass(frozen=True, slots=True)
class Routes:
    """`defaults`: indexes of links with a default route, in any table. `seg6_local`: how many
    routes end a segment here, and go on with what is inside."""

    defaults: frozenset[int]
    seg6_local: int


def routes() -> Routes:
    """Raises LinkError."""
    defaults: set[int] = set()
    seg6_local = 0
    for route in _dump():
        if route[1] == 0 and route[7] == _UNICAST:
            defaults |= _links(_attributes(route, _ROUTE.size))
        if _SEG6_LOCAL in route:
            seg6_local += 1
    return Routes(frozenset(defaults), seg6_local)


def routes_by_link() -> dict[int, int]:
    """How many routes lead over a next hop behind each link. Raises LinkError."""
    found: dict[int, int] = {}
    for route in _dump():
        attributes = _attributes(route, _ROUTE.size)
        if route[7] == _UNICAST and not attributes.keys().isdisjoint(_NEXT_HOPS):
            for link in _links(attributes):
                found[link] = found.get(link, 0) + 1
    return found


def security_associations() -> int | None:
    """How many IPsec associations end here; None where the kernel does not say it to us."""
    try:
        for kind, answer in _ask(_NETLINK_XFRM, _GETSADINFO, struct.pack("=I", 0), 0):
            if kind == _NEWSADINFO:
                return int(struct.unpack("=I", _attributes(answer, 4)[_SAD_COUNT])[0])
    except (OSError, LinkError, KeyError):
        pass
    return None


def _dump() -> Iterator[bytes]:
    for family in (socket.AF_INET, socket.AF_INET6):
        question = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        for kind, route in _ask(socket.NETLINK_ROUTE, _GETROUTE, question, _DUMP):
            if kind == _NEWROUTE:
                yield route


def _links(found: dict[int, bytes]) -> set[int]:
    """Indexes of the links that a route goes out by, of its attributes."""
    links = {struct.unpack("=I", found[_OIF])[0]} if _OIF in found else set()
    hops, at = found.get(_MULTIPATH, b""), 0
    while at + _NEXTHOP.size <= len(hops):
        length, _, _, link = _NEXTHOP.unpack_from(hops, at)
        links.add(link)
        at += max(_aligned(length), _NEXTHOP.size)
    return links


def _attributes(message: bytes, at: int) -> dict[int, bytes]:
    found = {}
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = message[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)
    return found


def _ask(protocol: int, kind: int, question: bytes, flags: int) -> Iterator[tuple[int, bytes]]:
    """The kernel's answers, their type and content; all parts of a dump."""
    request = _HEADER.pack(_HEADER.size + len(question), kind, _REQUEST | flags, 1, 0) + question
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as to:
        to.settimeout(30)
        to.send(request)
        while True:
            part, at = to.recv(_PART), 0
            while at + _HEADER.size <= len(part):
                length, answer, _, _, _ = _HEADER.unpack_from(part, at)
                content = part[at + _HEADER.size : at + length]
                if answer == _ERROR:
                    _raise(-struct.unpack_from("=i", content)[0])
                if answer in (_ERROR, _DONE):
                    return
                yield answer, content
                at += max(_aligned(length), _HEADER.size)
            if not flags & _DUMP:
                return


def _raise(number: int) -> None:
    if number:
        why = f"{errno.errorcode.get(number, number)}, {os.strerror(number)}"
        raise LinkError(f"the kernel's routes or associations cannot be read: {why}")


def _aligned(length: int) -> int:
    return (length + 3) & ~3
