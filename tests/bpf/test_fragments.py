"""Fragments: what the first one shows, and what the others cannot."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment
from scapy.packet import Raw

from tests.bpf import site
from tests.bpf.bench import Bench, Outcome
from tests.bpf.frames import LATER, ether, ip, piece, pieces, tcp, udp


@pytest.mark.parametrize("sender", ["registered", "expired", "unregistered"])
def test_all_fragments_of_a_tunnel_packet(sender: str, family: int, bench: Bench) -> None:
    source = {
        "registered": site.REGISTERED,
        "expired": site.EXPIRED,
        "unregistered": site.STRANGER,
    }[sender][family]
    frames = pieces(ip(source, site.GATEWAY[family]) / udp(payload=b"x" * 2000), family)
    assert len(frames) > 3
    action = "pass" if sender == "registered" else "drop"
    for frame in frames:
        said = bench.judge(frame)
        assert (said.verdict, said.action, said.gateway) == (sender, action, site.HUB)


def test_later_fragment_of_a_service_without_ports(family: int, bench: Bench) -> None:
    for number in (47, 50, 51):
        later = piece(site.REGISTERED[family], site.GATEWAY[family], number, LATER)
        assert bench.judge(ether(later)) == Outcome("registered", "pass", site.HUB, 7)
        later = piece(site.STRANGER[family], site.GATEWAY[family], number, LATER)
        assert bench.judge(ether(later)) == Outcome("unregistered", "drop", site.HUB)


@pytest.mark.parametrize("number", [1, 58, 60, 4, 41, 89, 132])
def test_later_fragment_of_no_service(number: int, family: int, bench: Bench) -> None:
    later = piece(site.STRANGER[family], site.GATEWAY[family], number, LATER)
    assert bench.judge(ether(later)) == Outcome("unprotected", "pass", site.HUB)


def test_later_fragment_where_the_address_has_no_such_service(family: int, bench: Bench) -> None:
    """SOUTH and NORTH offer no TCP."""
    later = piece(site.STRANGER[family], site.SHARED_MONITORED[family], 6, LATER)
    assert bench.judge(ether(later)) == Outcome("unprotected", "pass", site.NORTH)


def test_later_fragment_shows_no_ports(family: int, bench: Bench) -> None:
    """What looks like ports of an unprotected service is payload."""
    for port in (53, 51820):
        payload = bytes(UDP(sport=port, dport=port)) + b"\0" * 64
        later = piece(site.STRANGER[family], site.GATEWAY[family], 17, LATER, payload)
        assert bench.judge(ether(later)) == Outcome("unregistered", "drop", site.HUB)


def test_later_fragment_shows_no_ah(bench: Bench) -> None:
    """What looks like AH with TCP behind it is payload: where AH is no service, it is none."""
    payload = bytes([6, 4]) + b"\0" * 22 + bytes(TCP(dport=1194))
    for family in (4, 6):
        later = piece(site.STRANGER[family], site.MONITORED[family], 51, LATER, payload)
        assert bench.judge(ether(later)) == Outcome("unprotected", "pass", site.LAB)


def test_later_fragment_needs_no_payload(family: int, bench: Bench) -> None:
    later = piece(site.STRANGER[family], site.GATEWAY[family], 17, LATER, b"")
    assert bench.judge(ether(later)) == Outcome("unregistered", "drop", site.HUB)


def test_first_fragment_shows_its_ports(family: int, bench: Bench) -> None:
    for port, verdict in ((51820, "registered"), (53, "unprotected")):
        payload = bytes(UDP(sport=1, dport=port, len=4000)) + b"\0" * 64
        first = piece(site.REGISTERED[family], site.GATEWAY[family], 17, 0, payload)
        assert bench.judge(ether(first)).verdict == verdict


@pytest.mark.parametrize("number", [6, 17])
def test_tiny_first_fragment(number: int, family: int, bench: Bench) -> None:
    ports = b"\x9c\x40\xca\x6c"
    for size in range(4):
        tiny = piece(site.REGISTERED[family], site.GATEWAY[family], number, 0, ports[:size])
        assert bench.judge(ether(tiny)) == Outcome("malformed", "drop", site.HUB)
    enough = piece(site.REGISTERED[family], site.GATEWAY[family], number, 0, ports)
    assert bench.judge(ether(enough)).verdict != "malformed"


def test_tiny_first_fragment_is_not_helped_by_padding(family: int, bench: Bench) -> None:
    tiny = piece(site.REGISTERED[family], site.GATEWAY[family], 17, 0, b"\x9c\x40")
    frame = ether(tiny) + b"\xca\x6c" + b"\0" * 30
    assert bench.judge(frame) == Outcome("malformed", "drop", site.HUB)


def test_atomic_fragment_is_walked_through(bench: Bench) -> None:
    atomic = IPv6ExtHdrFragment(offset=0, m=0, id=7)
    known = IPv6(src=site.REGISTERED[6], dst=site.GATEWAY[6]) / atomic / udp()
    assert bench.judge(ether(known)).verdict == "registered"
    stranger = IPv6(src=site.STRANGER[6], dst=site.GATEWAY[6]) / atomic / atomic / tcp(1194)
    assert bench.judge(ether(stranger)).verdict == "unregistered"
    later = IPv6(src=site.STRANGER[6], dst=site.GATEWAY[6]) / atomic
    later = later / IPv6ExtHdrFragment(nh=17, offset=LATER, m=1) / udp(53)
    assert bench.judge(ether(later)).verdict == "unregistered"


def test_reserved_bits_of_a_fragment_header_are_no_offset(bench: Bench) -> None:
    odd = IPv6ExtHdrFragment(offset=0, res1=255, res2=3, m=1)
    known = IPv6(src=site.REGISTERED[6], dst=site.GATEWAY[6]) / odd / udp()
    assert bench.judge(ether(known)).verdict == "registered"


@pytest.mark.parametrize("flags", ["MF", "DF", "evil", "MF+DF"])
def test_ipv4_flags_are_no_offset(flags: str, bench: Bench) -> None:
    known = IP(src=site.REGISTERED[4], dst=site.GATEWAY[4], flags=flags) / udp()
    assert bench.judge(ether(known)).verdict == "registered"


@pytest.mark.parametrize("offset", [1, 2, 185, 0x1FFF])
def test_every_offset_makes_a_later_fragment(offset: int, family: int, bench: Bench) -> None:
    payload = bytes(UDP(sport=1, dport=53)) + b"\0" * 64
    later = piece(site.STRANGER[family], site.GATEWAY[family], 17, offset, payload)
    assert bench.judge(ether(later)).verdict == "unregistered"


def test_large_icmp_in_fragments_is_untouched(family: int, bench: Bench) -> None:
    icmp = ICMP() if family == 4 else ICMPv6EchoRequest()
    whole = ip(site.STRANGER[family], site.GATEWAY[family]) / icmp / Raw(b"x" * 4000)
    frames = pieces(whole, family)
    assert len(frames) > 6
    for frame in frames:
        assert bench.judge(frame) == Outcome("unprotected", "pass", site.HUB)
