"""Captures: what scapy writes is read back, what is damaged is refused where it is."""

import struct
from io import BytesIO
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgWriter, PcapWriter, RawPcapNgReader, RawPcapReader

from control.capture import JUDGED_BYTES, CaptureError, Frame, frames

FRAMES = [
    bytes(
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src=f"203.0.113.{n}") / UDP()
    )
    + b"x" * n
    for n in range(8)
]


def read(data: bytes) -> list[Frame]:
    return list(frames(BytesIO(data)))


def read_until_damage(data: bytes) -> tuple[list[Frame], str]:
    """The frames before the damage, and what is said of it."""
    found: list[Frame] = []
    try:
        for frame in frames(BytesIO(data)):
            found.append(frame)
    except CaptureError as error:
        return found, error.message
    raise AssertionError("read without a complaint")


# Files by hand


def pcap(*records: bytes, order: str = "<", magic: int = 0xA1B2C3D4, link_type: int = 1) -> bytes:
    header = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)
    return header + b"".join(records)


def record(data: bytes, original: int | None = None, order: str = "<") -> bytes:
    length = len(data) if original is None else original
    return struct.pack(f"{order}IIII", 0, 0, len(data), length) + data


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link_type: int = 1, snap_length: int = 0, order: str = "<") -> bytes:
    return block(1, struct.pack(f"{order}HHI", link_type, 0, snap_length), order)


def enhanced(data: bytes, original: int | None = None, index: int = 0, order: str = "<") -> bytes:
    length = len(data) if original is None else original
    return block(6, struct.pack(f"{order}IIIII", index, 0, 0, len(data), length) + data, order)


# What is well


def test_reads_what_scapy_writes_as_pcap(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    for nano in (False, True):
        for order in ("<", ">"):
            with PcapWriter(str(path), linktype=1, nano=nano, endianness=order) as writer:
                for data in FRAMES:
                    writer.write(data)
            with RawPcapReader(str(path)) as reader:
                theirs = [data for data, _ in reader]
            ours = read(path.read_bytes())
            assert [frame.data for frame in ours] == theirs == FRAMES
            assert [frame.number for frame in ours] == list(range(1, 9))
            assert not any(frame.truncated for frame in ours)


def test_reads_what_scapy_writes_as_pcapng(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    with PcapNgWriter(str(path)) as writer:
        for data in FRAMES:
            writer.write(Ether(data))
    with RawPcapNgReader(str(path)) as reader:
        theirs = [data for data, _ in reader]
    assert [frame.data for frame in read(path.read_bytes())] == theirs == FRAMES


@pytest.mark.parametrize("order", ["<", ">"])
def test_reads_every_kind_of_packet_block(order: str) -> None:
    simple = block(3, struct.pack(f"{order}I", 60) + bytes(60), order)
    obsolete = block(2, struct.pack(f"{order}HHIIII", 0, 0, 0, 0, 20, 20) + bytes(20), order)
    unknown = block(0x0BAD, b"whatever", order)
    data = section(order) + interface(order=order) + simple + unknown + obsolete
    found = read(data + enhanced(bytes(30), order=order))
    assert [(frame.number, len(frame.data)) for frame in found] == [(1, 60), (2, 20), (3, 30)]


def test_a_simple_block_is_cut_by_its_interface() -> None:
    simple = block(3, struct.pack("<I", 100) + bytes(64))
    (frame,) = read(section() + interface(snap_length=64) + simple)
    assert (len(frame.data), frame.truncated) == (64, True)


def test_each_section_has_its_own_order_and_interfaces() -> None:
    first = section("<") + interface(113) + interface(1) + enhanced(b"a" * 20, index=1)
    second = section(">") + interface(1, order=">") + enhanced(b"b" * 20, order=">")
    assert [frame.data[:1] for frame in read(first + second)] == [b"a", b"b"]


def test_a_frame_cut_by_the_snap_length_is_marked() -> None:
    cut = pcap(record(bytes(60)), record(bytes(60), original=1500), record(b"", original=60))
    assert [frame.truncated for frame in read(cut)] == [False, True, True]
    cut = section() + interface() + enhanced(bytes(60), original=61)
    assert [frame.truncated for frame in read(cut)] == [True]


def test_of_a_long_frame_the_first_bytes_are_kept_and_it_is_not_truncated() -> None:
    long = bytes(range(256)) * 40
    for data in (pcap(record(long)), section() + interface() + enhanced(long)):
        (frame,) = read(data)
        assert frame.data == long[:JUDGED_BYTES]
        assert not frame.truncated


def test_the_check_sequence_in_the_link_type_is_passed_over() -> None:
    assert len(read(pcap(record(bytes(64)), link_type=0x2400_0001 | 0x1000_0000))) == 1


def test_a_capture_without_packets_is_empty() -> None:
    assert read(pcap()) == []
    assert read(section()) == []


# What is not


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"\xd4\xc3", "neither pcap nor pcapng"),
        (b"#!/bin/sh\n", "neither pcap nor pcapng"),
        (b"\x1f\x8b\x08\x00", "the file is compressed: unpack it first"),
        (pcap()[:23], "cut off in its file header"),
        (pcap(link_type=113), "link type 113 (Linux cooked capture, as from -i any)"),
        (pcap(link_type=147), "link type 147 is not Ethernet"),
        (section()[:7], "packet 1: cut off in a block's header"),
        (section()[:20], "packet 1: cut off in a block of 28 bytes"),
        (section()[:8] + b"\0\0\0\0", "packet 1: a section header without its byte order"),
    ],
)
def test_a_file_that_is_no_capture_is_refused(data: bytes, said: str) -> None:
    found, message = read_until_damage(data)
    assert found == []
    assert said in message


GOOD = record(bytes(60)) * 2
NG = section() + interface() + enhanced(bytes(60)) * 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (pcap(GOOD, record(bytes(60))[:15]), "cut off in its record header"),
        (pcap(GOOD, record(bytes(60))[:-1]), "cut off: 59 of 60 captured bytes are there"),
        (pcap(GOOD, struct.pack("<IIII", 0, 0, 2**32 - 1, 60)), "4294967295 bytes captured"),
        (NG + enhanced(bytes(60))[:6], "cut off in a block's header"),
        (NG + enhanced(bytes(60))[:-1], "cut off in a block of 92 bytes"),
        (NG + enhanced(bytes(60))[:-4] + bytes(4), "the two lengths of a block differ"),
        (NG + struct.pack("<II", 6, 0xFFFFFFFC), "a block of 4294967292 bytes cannot be"),
        (NG + struct.pack("<II", 6, 8), "a block of 8 bytes cannot be"),
        (NG + struct.pack("<II", 6, 33), "a block of 33 bytes cannot be"),
        (NG + enhanced(bytes(60), index=1), "its interface 1 is not described"),
        (NG + section() + enhanced(bytes(60)), "its interface 0 is not described"),
        (NG + interface(101) + enhanced(bytes(60), index=1), "link type 101 (raw IP)"),
        (NG + block(6, bytes(12)), "its block is too short"),
        (
            NG + block(6, struct.pack("<IIIII", 0, 0, 0, 2**32 - 1, 60) + bytes(60)),
            "its block does not hold the 4294967295 bytes that it claims",
        ),
    ],
)
def test_damage_names_the_packet_and_the_frames_before_are_read(data: bytes, said: str) -> None:
    found, message = read_until_damage(data)
    assert [frame.number for frame in found] == [1, 2]
    assert message.startswith("packet 3: ")
    assert said in message


def test_every_cut_of_a_good_file_is_read_or_refused() -> None:
    for whole in (pcap(GOOD), NG):
        for length in range(len(whole)):
            try:
                read(whole[:length])
            except CaptureError:
                continue
