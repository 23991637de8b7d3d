"""The walk over the headers, and what cannot be judged."""

import pytest
from scapy.layers.inet import IPOption
from scapy.layers.inet6 import (
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.ipsec import AH
from scapy.packet import Raw

from tests.bpf import site
from tests.bpf.bench import Bench, Outcome
from tests.bpf.frames import HEADER, Layer, ether, ip, protocol, tcp, udp

REGISTERED = Outcome("registered", "pass", site.HUB, site.PEER_HOST)
MALFORMED = Outcome("malformed", "drop", site.HUB)
UNPROTECTED = Outcome("unprotected", "pass", site.HUB)
WALKED = Outcome("registered", "pass", site.LAB, site.PEER_HOST)  # LAB does not offer AH


def known(family: int, **fields: object) -> Layer:
    return ip(site.REGISTERED[family], site.GATEWAY[family], **fields)


def options(size: int) -> Layer:
    """A destination options header of `size` bytes."""
    return IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * (size - 4))], autopad=0)


def generic(next_header: int, size: int = 8) -> Layer:
    """Any extension header that counts its length in 8 bytes after the first."""
    return Raw(bytes([next_header, size // 8 - 1]) + b"\0" * (size - 2))


def ah(next_header: int, size: int = 24) -> Layer:
    return Raw(bytes([next_header, size // 4 - 2]) + b"\0" * (size - 2))


def test_cut_off_at_every_byte(family: int, bench: Bench) -> None:
    frame = ether(known(family) / udp())
    header = HEADER + (20 if family == 4 else 40)
    for length in range(header, len(frame)):
        ports_there = length >= header + 4
        assert bench.judge(frame[:length]) == (REGISTERED if ports_there else MALFORMED)


def test_declared_length_at_every_byte(family: int, bench: Bench) -> None:
    header = 20 if family == 4 else 40
    for length in range(header + 10):
        if family == 6 and length < 40:
            continue
        fields = {"len": length} if family == 4 else {"plen": length - 40}
        frame = ether(known(family, **fields) / udp())
        ports_there = length >= header + 4
        assert bench.judge(frame) == (REGISTERED if ports_there else MALFORMED)


def test_declared_length_beyond_the_frame(family: int, bench: Bench) -> None:
    fields = {"len": 0xFFFF} if family == 4 else {"plen": 0xFFFF}
    assert bench.judge(ether(known(family, **fields) / udp())) == REGISTERED


@pytest.mark.parametrize("ihl", range(16))
def test_ihl(ihl: int, bench: Bench) -> None:
    """An option that looks like UDP to the service must not be taken for it."""
    real = known(4, proto=17, ihl=ihl, len=20 + 40 + 26) / Raw(bytes(udp(53))[:4] * 10) / udp()
    if ihl < 5:
        assert bench.judge(ether(real)) == MALFORMED
    elif ihl < 15:
        assert bench.judge(ether(real)) == UNPROTECTED  # port 53
    else:
        assert bench.judge(ether(real)) == REGISTERED


def test_ipv4_options_cut_off(bench: Bench) -> None:
    whole = ether(known(4, options=[IPOption(b"\x07\x27\x04" + b"\0" * 36)]) / udp())
    assert bench.judge(whole) == REGISTERED
    for length in range(HEADER + 20, HEADER + 60 + 4):
        assert bench.judge(whole[:length]) == MALFORMED


@pytest.mark.parametrize("version", range(16))
def test_version(version: int, family: int, bench: Bench) -> None:
    frame = bytearray(ether(known(family) / udp()))
    frame[HEADER] = version << 4 | (frame[HEADER] & 0x0F)
    assert bench.judge(bytes(frame)) == (REGISTERED if version == family else MALFORMED)


@pytest.mark.parametrize("number", [0, 43, 60, 135, 139, 140])
def test_extension_header_is_walked(number: int, bench: Bench) -> None:
    for size in (8, 16, 256):
        walked = known(6, nh=number) / generic(17, size) / udp()
        assert bench.judge(ether(walked)) == REGISTERED
        stranger = ip(site.STRANGER[6], site.GATEWAY[6], nh=number) / generic(17, size) / udp()
        assert bench.judge(ether(stranger)).verdict == "unregistered"


@pytest.mark.parametrize("number", [0, 43, 44, 60, 135, 139, 140])
def test_no_such_header_in_ipv4(number: int, bench: Bench) -> None:
    assert bench.judge(ether(known(4, proto=number) / generic(17) / udp())) == UNPROTECTED


def test_extension_headers_in_a_row(bench: Bench) -> None:
    row = IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting() / IPv6ExtHdrFragment() / options(40)
    assert bench.judge(ether(known(6) / row / tcp(1194))) == REGISTERED
    again = options(8) / IPv6ExtHdrHopByHop() / options(8)
    assert bench.judge(ether(known(6) / again / tcp(1194))) == REGISTERED


def test_extension_header_cut_off_at_every_byte(bench: Bench) -> None:
    frame = ether(known(6) / options(40) / options(24) / udp())
    for length in range(HEADER + 40, HEADER + 40 + 40 + 24 + 4):
        assert bench.judge(frame[:length]) == MALFORMED


@pytest.mark.parametrize("count", range(11))
def test_eight_extension_headers(count: int, bench: Bench) -> None:
    chain = known(6, nh=60 if count else 17)
    for i in range(count):
        chain = chain / generic(60 if i + 1 < count else 17)
    assert bench.judge(ether(chain / udp())) == (REGISTERED if count <= 8 else MALFORMED)


@pytest.mark.parametrize("count", [1, 8, 9])
def test_service_after_extension_headers_ends_the_walk(count: int, bench: Bench) -> None:
    """ESP or AH as the ninth header is the service that ends the chain, not too many."""
    for service in (50, 51):
        chain = known(6, nh=60)
        for i in range(count):
            chain = chain / generic(60 if i + 1 < count else service)
        expected = REGISTERED if count <= 8 else MALFORMED
        assert bench.judge(ether(chain / Raw(b"\0" * 32))) == expected


def test_ah_is_walked_through_where_it_is_no_service(family: int, bench: Bench) -> None:
    there = ip(site.REGISTERED[family], site.MONITORED[family], **protocol(family, 51))
    for size in (8, 12, 24, 1020 - 60):
        if (size // 4 - 2) > 255:
            continue
        assert bench.judge(ether(there / ah(17, size) / udp())) == WALKED
    assert bench.judge(ether(there / ah(51) / ah(6) / tcp(1194))) == WALKED
    assert bench.judge(ether(there / ah(47))) == WALKED
    assert bench.judge(ether(there / ah(50))).verdict == "unprotected"
    assert bench.judge(ether(there / Raw(b"\x11\x04"))).verdict == "malformed"


def test_more_than_eight_ah(family: int, bench: Bench) -> None:
    chain = ip(site.REGISTERED[family], site.MONITORED[family], **protocol(family, 51))
    for i in range(9):
        chain = chain / ah(51 if i < 8 else 17)
    assert bench.judge(ether(chain / udp())).verdict == "malformed"


def test_ah_as_a_service_ends_the_walk(family: int, bench: Bench) -> None:
    """Whatever it carries, also where that is cut off."""
    packet = known(family) / AH(spi=1, seq=1, icv=b"\0" * 12) / udp(53)
    assert bench.judge(ether(packet)) == REGISTERED
    assert bench.judge(ether(known(family, **protocol(family, 51)))) == REGISTERED


def test_no_next_header(bench: Bench) -> None:
    assert bench.judge(ether(known(6, nh=59))) == UNPROTECTED
    packet = known(6, nh=60) / generic(59)
    assert bench.judge(ether(packet)) == UNPROTECTED


def test_jumbogram_cannot_be_judged(bench: Bench) -> None:
    jumbo = Raw(bytes([17, 0, 0xC2, 4, 0, 1, 0, 0]))
    assert bench.judge(ether(known(6, nh=0, plen=0) / jumbo / udp())) == MALFORMED


@pytest.mark.parametrize(
    ("sizes", "outcome"),
    [
        ((512, 464), WALKED),
        ((512, 448, 20), WALKED),  # 40 of IPv6, 980, 4 of ports: all of byte 1,024
        ((512, 448, 24), MALFORMED),
        ((512, 472), MALFORMED),
        ((1024,), MALFORMED),
        ((1896,), MALFORMED),
        ((300, 300, 300, 300), MALFORMED),
    ],
)
def test_byte_1024(sizes: tuple[int, ...], outcome: Outcome, bench: Bench) -> None:
    """Counted from the IP header: behind it extension headers of `sizes`, then ports."""
    numbers = [51 if size % 8 else 60 for size in sizes]
    chain = ip(site.REGISTERED[6], site.MONITORED[6], nh=numbers[0])
    for size, number, following in zip(sizes, numbers, [*numbers[1:], 17], strict=True):
        chain = chain / (ah(following, size) if number == 51 else generic(following, size))
    expected = outcome if outcome == WALKED else Outcome("malformed", "pass", site.LAB)
    assert bench.judge(ether(chain / udp(payload=b""))) == expected


def test_service_without_ports_at_byte_1024(bench: Bench) -> None:
    """ESP begins after byte 1,024, but the headers before it end there."""
    chain = known(6, nh=60) / generic(60, 512) / generic(50, 512 - 40)
    assert bench.judge(ether(chain / Raw(b"\0" * 40))) == REGISTERED


def test_long_frames_are_judged_by_their_headers(family: int, bench: Bench) -> None:
    frame = ether(known(family) / udp(payload=b"x" * 1600))
    assert bench.judge(frame) == REGISTERED
    assert bench.judge(frame[: HEADER + 1024]) == REGISTERED
