"""Hypothesis strategies of frames: valid ones, odd ones, and ones that lie about themselves.

Whatever is drawn shrinks towards a plain UDP packet to the policy's first gateway. The share of
each oddity is such that a few thousand frames reach every rule many times; test_differential.py
asserts that they do.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from hypothesis import strategies as st

from control.model import Allowlist
from policy.prefixes import Address
from policy.services import TCP, UDP

T = TypeVar("T")
Draw = Callable[[st.SearchStrategy[T]], T]

LONGEST = 2000
MACS = bytes.fromhex("02000000000102000000000a")
FRAGMENT, AH = 44, 51
EXTENSIONS = (60, 0, 43, FRAGMENT, AH, 135, 139, 140)
BUT_AH = tuple(kind for kind in EXTENSIONS if kind != AH)
ODD_ETHERTYPES = ("0806", "8847", "8863", "05dc", "9100", "88e5", "0800", "86dd")
PROTOCOLS = (*EXTENSIONS, UDP, TCP, 50, 47, 4, 97, 255, 1, 58, 2, 41, 59, 89, 112, 132, 115, 253)


@dataclass(frozen=True, slots=True)
class Palette:
    """What frames to a policy's gateways are made of, hits and near misses."""

    destinations: dict[int, tuple[Address, ...]]
    sources: dict[int, tuple[Address, ...]]
    uppers: tuple[tuple[int, int], ...]  # (protocol, port) of the services; port 0 where none


def palette(allowlist: Allowlist) -> Palette:
    blocks = [block for g in allowlist.gateways for block in g.addresses]
    prefixes = [source for peer in allowlist.peers for source in peer.sources]
    services = dict.fromkeys(s for g in allowlist.gateways for s in g.services)
    return Palette(
        destinations={
            family: tuple(dict.fromkeys(a for b in blocks if b.version == family for a in b))
            for family in (4, 6)
        },
        sources={
            family: tuple(
                dict.fromkeys(
                    edge
                    for prefix in prefixes
                    if prefix.version == family
                    for edge in (prefix[0], prefix[-1], prefix[0] - 1, prefix[-1] + 1)
                )
            )
            for family in (4, 6)
        },
        uppers=tuple((service.protocol, service.port or 0) for service in services),
    )


@cache
def below(limit: int) -> st.SearchStrategy[int]:
    return st.integers(0, limit - 1)


class Maker:
    """Draws one frame. Every choice is an integer: small ones are the plain ones."""

    def __init__(self, draw: Draw[int], palette: Palette) -> None:
        self.draw, self.palette = draw, palette

    def number(self, limit: int) -> int:
        """0 to limit - 1."""
        return self.draw(below(limit)) if limit > 1 else 0

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.number(len(choices))]

    def weighted(self, *shares: int) -> int:
        """An index into `shares`, which are per cent of the frames; the rest is the last one."""
        drawn = self.number(100)
        for index, share in enumerate(shares):
            drawn -= share
            if drawn < 0:
                return index
        return len(shares)

    def seldom(self, percent: int) -> bool:
        return self.number(100) >= 100 - percent

    def noise(self, size: int) -> bytes:
        """Bytes that look like headers here and there, so that a wrong offset shows."""
        filler = self.one_of((0x00, 0x11, 0x33, 0x3C, 0x01, 0xFF)) if size else 0
        return bytes([filler]) * size

    # Packets

    def packet(self) -> tuple[int, bytes]:
        family = self.one_of([f for f in (4, 6) if self.palette.destinations[f]] * 4 + [4, 6])
        source, destination = self.ends(family)
        protocol, upper = self.upper()
        if family == 4:
            return family, self.ipv4(source, destination, protocol, upper)
        return family, self.ipv6(source, destination, protocol, upper)

    def ends(self, family: int) -> tuple[bytes, bytes]:
        """Packed source and destination."""
        guarded = self.palette.destinations[family]
        destination: Address
        if guarded and not self.seldom(6):
            destination = self.one_of(guarded)
        else:
            destination = self.elsewhere(family)
        if self.seldom(4):
            source = self.elsewhere(family)
        else:
            source = self.one_of(self.palette.sources[family])
        return source.packed, destination.packed

    def elsewhere(self, family: int) -> Address:
        """Nobody's address, a gateway's neighbour, or an address in the other family's clothes."""
        other = self.palette.destinations[10 - family] + self.palette.sources[10 - family]
        near = self.palette.destinations[family] or self.palette.sources[family]
        kind = self.number(3)
        if family == 6:
            if kind == 0:  # IPv4-mapped, IPv4-compatible
                prefix = self.one_of((bytes(10) + b"\xff\xff", bytes(12)))
                return IPv6Address(prefix + self.one_of(other or (IPv4Address(1),)).packed[:4])
            return self.one_of(near) + 1 if kind == 1 else IPv6Address("2001:db8:ffff::1")
        if kind == 0 and other:
            return IPv4Address(self.one_of(other).packed[self.one_of((0, 12)) :][:4])
        return self.one_of(near) + 1 if kind == 1 else IPv4Address("192.0.2.254")

    def upper(self) -> tuple[int, bytes]:
        """The protocol that the header chain ends with, and its bytes."""
        kind = self.weighted(66, 12, 10, 12)
        port = self.one_of((80, 22, 51821, 500, 0))
        if kind == 0:
            protocol, port = self.one_of(self.palette.uppers)
        elif kind == 1:  # Another port, or a service's port at the other protocol
            protocol = self.one_of((UDP, TCP))
            if self.seldom(50):
                port = self.one_of(self.palette.uppers)[1]
        else:
            protocol = self.one_of(PROTOCOLS)
        data = struct.pack("!HH", self.one_of((40000, port)), port) + self.noise(self.number(24))
        if self.seldom(10):
            data = data[: self.number(8)]
        return protocol, data

    def ipv4(self, source: bytes, destination: bytes, protocol: int, upper: bytes) -> bytes:
        chain = [AH] * self.one_of((1, 2, 8, 9, 3, 10)) if self.seldom(16) else []
        body, first = self.chain(chain, protocol, upper, start=20)
        options = self.noise(4 * self.number(11)) if self.seldom(12) else b""
        ihl = 5 + len(options) // 4
        total = 20 + len(options) + len(body)
        if self.seldom(7):
            ihl = self.one_of((4, 0, 3, 6, 15, self.number(16)))
        version = self.number(16) if self.seldom(2) else 4
        flags, offset = self.ipv4_fragment()
        header = struct.pack(
            "!BBHHHBBH",
            version << 4 | ihl,
            0,
            self.length(total, (0, 19, 20, ihl * 4 - 1, ihl * 4, ihl * 4 + 3, ihl * 4 + 4)),
            1,
            flags << 13 | offset,
            64,
            first,
            0,
        )
        return header + source + destination + options + body

    def ipv4_fragment(self) -> tuple[int, int]:
        """(reserved, DF and MF; offset)."""
        kind = self.weighted(72, 6, 16)
        if kind == 0:
            return self.one_of((0, 2)), 0
        if kind == 1:
            return self.one_of((1, 3, 4, 5)), 0
        return self.one_of((0, 1, 7)), self.one_of((185, 1, 2, 256, 0x1000, 0x1FFF))

    def ipv6(self, source: bytes, destination: bytes, protocol: int, upper: bytes) -> bytes:
        chain: list[int] = []
        kind = self.weighted(50, 24, 14, 12)
        if kind:
            count = {1: (1, 2), 2: (8, 9, 7, 10), 3: (3, 4, 5, 6)}[kind]
            chain = [self.one_of(EXTENSIONS) for _ in range(self.one_of(count))]
        if kind == 2 and self.seldom(40):  # AH, which may be a service, after eight others
            chain = [self.one_of(BUT_AH) for _ in chain[1:]] + [AH]
        if self.seldom(14):  # A fragment header somewhere
            chain.insert(self.number(len(chain) + 1), FRAGMENT)
        body, first = self.chain(chain, protocol, upper, start=40)
        version = self.number(16) if self.seldom(2) else 6
        length = self.length(len(body), (0, 1, 3, 4, 8, 40))
        header = struct.pack("!IHBB", version << 28, length, first, 64)
        return header + source + destination + body

    def chain(self, kinds: list[int], protocol: int, upper: bytes, start: int) -> tuple[bytes, int]:
        """Extension headers before `upper`, and the protocol of the first."""
        sizes = [self.extension_size(kind) for kind in kinds]
        stretchable = [i for i, kind in enumerate(kinds) if kind != FRAGMENT]
        if stretchable and self.seldom(40):  # Bring the chain's end near byte 1,024
            i = self.one_of(stretchable)
            unit = 4 if kinds[i] == AH else 8
            wanted = 1004 + 4 * self.number(9)
            sizes[i] = max(wanted - start - sum(sizes) + sizes[i], 8) // unit * unit
        body, following = upper, protocol
        for kind, size in zip(reversed(kinds), reversed(sizes), strict=True):
            body = self.extension(kind, size, following) + body
            following = kind
        return body, following

    def extension_size(self, kind: int) -> int:
        if kind == FRAGMENT:
            return 8
        if kind == AH:
            return self.one_of((24, 12, 16, 8, 28))
        return self.one_of((8, 8, 8, 16, 24, 64))

    def extension(self, kind: int, size: int, following: int) -> bytes:
        if kind == FRAGMENT:
            shapes = (0, 1, 6, 7, 8, 9, 1480, 0xFFF8)  # offset in bytes, 2 bits reserved, more
            return struct.pack("!BBHI", following, self.one_of((0, 9)), self.one_of(shapes), 7)
        length = size // 4 - 2 if kind == AH else size // 8 - 1
        if self.seldom(2):
            length = self.one_of((0, 1, 2, 255))
        return bytes([following, min(length, 255)]) + self.noise(size - 2)

    def length(self, true: int, lies: Sequence[int]) -> int:
        """What a length field says: mostly the truth."""
        kind = self.weighted(88, 3, 3)
        if kind == 0:
            return true
        if kind == 1:
            return true + self.one_of((1, 8, 1000, 0xFFFF - true))
        if kind == 2:
            return self.number(true + 1)
        return max(self.one_of(lies), 0)

    # Frames

    def frame(self) -> bytes:
        family, packet = self.packet()
        frame = self.framing(family) + packet
        if self.seldom(10):  # Ethernet's padding, or what follows the packet
            frame += self.noise(self.number(30))
        if self.seldom(10):
            frame = frame[: self.number(len(frame) + 1)]
        if self.seldom(10):
            frame = self.mutated(frame)
        return frame[:LONGEST]

    def framing(self, family: int) -> bytes:
        ethertype = {4: b"\x08\x00", 6: b"\x86\xdd"}[family]
        kind = self.weighted(88, 8)
        if kind == 1:
            session = b"\x11\x00\x00\x07" + struct.pack("!H", self.one_of((60, 2, 0, 1492)))
            ppp = {4: b"\x00\x21", 6: b"\x00\x57"}[family]
            if self.seldom(30):
                ppp = self.one_of((ppp[1:], b"\xc0\x21", b"\x00\x21", b"\x00\x57", b"\x57"))
            if self.seldom(10):
                session = self.one_of((b"\x11\xa7", b"\x21\x00", b"\x00\x00")) + session[2:]
            ethertype = b"\x88\x64" + session + ppp
        elif kind == 2:
            ethertype = bytes.fromhex(self.one_of(ODD_ETHERTYPES))
        count = (0, 1, 2, 3)[self.weighted(76, 11, 9)]
        tags = [self.one_of((b"\x81\x00\x00\x64", b"\x88\xa8\xe0\x00")) for _ in range(count)]
        return MACS + b"".join(tags) + ethertype

    def mutated(self, frame: bytes) -> bytes:
        """Bytes changed, taken out or put in, anywhere after the Ethernet addresses."""
        changed = bytearray(frame)
        for _ in range(1 + self.number(3)):
            at = min(12 + self.number(80), len(changed))
            kind = self.number(8)
            if kind == 0:
                changed[at:at] = bytes([self.number(256)])
            elif kind == 1:
                del changed[at : at + 1]
            elif at < len(changed):
                changed[at] = self.number(256)
        return bytes(changed)


@st.composite
def frames(draw: Draw[int], palette: Palette) -> bytes:
    return Maker(draw, palette).frame()
