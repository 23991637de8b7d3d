"""Frames out of pcap and pcapng files, and nothing that is not Ethernet.

Strict, where scapy's readers are lenient: those end without a word at a record that is
cut off, pass over one whose interface is unknown (all later numbers shift), and keep
the interfaces of an earlier section. Here a damaged file is an error that names the packet.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from control.errors import ControlError

# Of a frame, no more than this is run: longer than any header chain that is judged.
JUDGED_BYTES = 2048

ETHERNET = 1
_LINK_TYPES = {
    0: "BSD loopback",
    9: "PPP",
    12: "raw IP",
    101: "raw IP",
    105: "IEEE 802.11",
    108: "OpenBSD loopback",
    113: "Linux cooked capture, as from -i any",
    127: "IEEE 802.11 with radiotap",
    228: "raw IPv4",
    229: "raw IPv6",
    276: "Linux cooked capture, as from -i any",
}
# As libpcap: no snap length is larger, and no block of pcapng.
_MOST_CAPTURED = 262_144
_MOST_BLOCK = 16 * 1024 * 1024

_PCAP_MAGIC = {
    b"\xd4\xc3\xb2\xa1": "<",
    b"\xa1\xb2\xc3\xd4": ">",
    b"\x4d\x3c\xb2\xa1": "<",  # nanoseconds
    b"\xa1\xb2\x3c\x4d": ">",
}
_SECTION = 0x0A0D0D0A
_SECTION_BYTES = _SECTION.to_bytes(4, "big")  # a palindrome: the same in both orders
_INTERFACE, _PACKET, _SIMPLE, _ENHANCED = 1, 2, 3, 6
_BYTE_ORDER = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}


class CaptureError(ControlError):
    """A capture that cannot be read on; the frames before were read."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as captured, at most its first JUDGED_BYTES. `number` counts from 1."""

    number: int
    data: bytes
    truncated: bool  # cut by the snap length: there was more of it on the wire


def frames(stream: BinaryIO) -> Iterator[Frame]:
    """The frames in order. Raises CaptureError where the file is damaged or not Ethernet."""
    magic = stream.read(4)
    if magic in _PCAP_MAGIC:
        return _pcap(stream, _PCAP_MAGIC[magic])
    if magic == _SECTION_BYTES:
        return _pcapng(stream)
    if not magic:
        raise CaptureError("the file is empty")
    if magic[:2] == b"\x1f\x8b" or magic in (b"\x28\xb5\x2f\xfd", b"\xfd7zX"):
        raise CaptureError("the file is compressed: unpack it first")
    raise CaptureError("neither pcap nor pcapng")


def _pcap(stream: BinaryIO, order: str) -> Iterator[Frame]:
    header = stream.read(20)
    if len(header) < 20:
        raise CaptureError("cut off in its file header")
    link_type = struct.unpack(f"{order}16xI", header)[0] & 0x03FF_FFFF
    if link_type != ETHERNET:
        raise CaptureError(_not_ethernet(link_type))
    record = struct.Struct(f"{order}8xII")
    return _records(stream, record)


def _records(stream: BinaryIO, record: struct.Struct) -> Iterator[Frame]:
    number = 1
    while header := stream.read(record.size):
        if len(header) < record.size:
            raise CaptureError(f"packet {number}: cut off in its record header")
        captured, original = record.unpack(header)
        if captured > _MOST_CAPTURED:
            raise CaptureError(f"packet {number}: {captured} bytes captured cannot be")
        data = stream.read(captured)
        if len(data) < captured:
            raise CaptureError(
                f"packet {number}: cut off: {len(data)} of {captured} captured bytes are there"
            )
        yield Frame(number, data[:JUDGED_BYTES], captured < original)
        number += 1


@dataclass(frozen=True, slots=True)
class _Block:
    kind: int
    body: bytes
    order: str


def _pcapng(stream: BinaryIO) -> Iterator[Frame]:
    """The frames of all sections; the first section header's type has been read."""
    interfaces: list[tuple[int, int]] = []  # link type, snap length (0: none)
    number = 1
    kind, order = _SECTION_BYTES, "<"
    while kind:
        where = f"packet {number}"
        block = _block(stream, kind, order, where)
        order = block.order
        if block.kind == _SECTION:
            interfaces = []
        elif block.kind == _INTERFACE:
            link_type, snap_length = _unpack("H2xI", block, where)
            interfaces.append((link_type, snap_length))
        elif block.kind in (_PACKET, _SIMPLE, _ENHANCED):
            yield _frame(number, block, interfaces)
            number += 1
        kind = stream.read(4)


def _block(stream: BinaryIO, kind: bytes, order: str, where: str) -> _Block:
    """The block whose type has been read. A section header brings its own byte order."""
    length_bytes = stream.read(4)
    first = b""
    if kind == _SECTION_BYTES:
        first = stream.read(4)
        if len(first) == 4 and first not in _BYTE_ORDER:
            raise CaptureError(f"{where}: a section header without its byte order")
        order = _BYTE_ORDER.get(first, order)
    if len(kind + length_bytes) < 8:
        raise CaptureError(f"{where}: cut off in a block's header")
    number, length = struct.unpack(f"{order}II", kind + length_bytes)
    if length < 12 + len(first) or length % 4 or length > _MOST_BLOCK:
        raise CaptureError(f"{where}: a block of {length} bytes cannot be")
    body = first + stream.read(length - 12 - len(first))
    trailer = stream.read(4)
    if len(body) + len(trailer) < length - 8:
        raise CaptureError(f"{where}: cut off in a block of {length} bytes")
    if trailer != length_bytes:
        raise CaptureError(f"{where}: the two lengths of a block differ")
    return _Block(number, body, order)


def _frame(number: int, block: _Block, interfaces: list[tuple[int, int]]) -> Frame:
    where = f"packet {number}"
    start = 20
    if block.kind == _ENHANCED:
        index, captured, original = _unpack("I8xII", block, where)
    elif block.kind == _PACKET:
        index, captured, original = _unpack("H10xII", block, where)
    else:
        (original,) = _unpack("I", block, where)
        index, captured, start = 0, original, 4
    if index >= len(interfaces):
        raise CaptureError(f"{where}: its interface {index} is not described")
    link_type, snap_length = interfaces[index]
    if link_type != ETHERNET:
        raise CaptureError(f"{where}: {_not_ethernet(link_type)}")
    if block.kind == _SIMPLE and snap_length:
        captured = min(original, snap_length)
    if captured > len(block.body) - start:
        raise CaptureError(f"{where}: its block does not hold the {captured} bytes that it claims")
    data = block.body[start : start + min(captured, JUDGED_BYTES)]
    return Frame(number, data, captured < original)


def _unpack(layout: str, block: _Block, where: str) -> tuple[int, ...]:
    form = struct.Struct(block.order + layout)
    if len(block.body) < form.size:
        raise CaptureError(f"{where}: its block is too short")
    return form.unpack_from(block.body)


def _not_ethernet(link_type: int) -> str:
    name = _LINK_TYPES.get(link_type)
    what = f"link type {link_type}" + (f" ({name})" if name else "")
    return f"{what} is not Ethernet: capture on the router's Ethernet interface itself"
