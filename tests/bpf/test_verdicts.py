"""DESIGN.md's table of verdicts, row by row, in both families."""

from dataclasses import dataclass

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import ICMPv6EchoRequest
from scapy.layers.l2 import ARP
from scapy.packet import Raw

from control.model import Tables
from tests.bpf import site
from tests.bpf.bench import BYSTANDER, OTHER, Bench, Outcome
from tests.bpf.frames import HEADER, Layer, ether, ip, protocol, tcp, udp

Addresses = dict[int, str]


@dataclass(frozen=True, slots=True)
class Case:
    """A packet from `source` to `destination`, and what becomes of it."""

    name: str
    source: Addresses
    destination: Addresses
    upper: Layer
    outcome: Outcome


def enforced(verdict: str, peer: int | None = None) -> Outcome:
    return Outcome(verdict, "drop", site.HUB, peer)


def passed(verdict: str, gateway: int, peer: int | None = None) -> Outcome:
    return Outcome(verdict, "pass", gateway, peer)


CASES = [
    Case("bystander", site.STRANGER, site.ELSEWHERE, udp(), BYSTANDER),
    Case("unprotected port", site.STRANGER, site.GATEWAY, udp(53), passed("unprotected", 1)),
    Case("unprotected twin", site.STRANGER, site.GATEWAY, tcp(51820), passed("unprotected", 1)),
    Case("host", site.REGISTERED, site.GATEWAY, udp(), passed("registered", 1, 7)),
    Case("prefix", site.IN_PREFIX, site.GATEWAY, udp(), passed("registered", 1, 8)),
    Case("tcp", site.REGISTERED, site.GATEWAY, tcp(1194), passed("registered", 1, 7)),
    Case("expired", site.EXPIRED, site.GATEWAY, udp(), enforced("expired", 9)),
    Case("stranger", site.STRANGER, site.GATEWAY, udp(), enforced("unregistered")),
    Case("stranger, tcp", site.STRANGER, site.GATEWAY, tcp(1194), enforced("unregistered")),
    Case("future", site.FUTURE, site.GATEWAY, udp(), enforced("unregistered", 10)),
    Case("gap", site.IN_GAP, site.GATEWAY, udp(), enforced("expired", 11)),
    Case("monitored host", site.REGISTERED, site.MONITORED, udp(), passed("registered", 2, 7)),
    Case("monitored, expired", site.EXPIRED, site.MONITORED, udp(), passed("expired", 2, 9)),
    Case("monitored stranger", site.STRANGER, site.MONITORED, udp(), passed("unregistered", 2)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdict(case: Case, family: int, bench: Bench) -> None:
    packet = ip(case.source[family], case.destination[family]) / case.upper
    assert bench.judge(ether(packet)) == case.outcome


@pytest.mark.parametrize("number", [47, 50, 51], ids=["gre", "esp", "ah"])
def test_protocol_without_ports(number: int, family: int, bench: Bench) -> None:
    fields = protocol(family, number)
    for payload in (b"", b"\0" * 64):
        known = ip(site.REGISTERED[family], site.GATEWAY[family], **fields) / Raw(payload)
        assert bench.judge(ether(known)) == passed("registered", 1, 7)
        stranger = ip(site.STRANGER[family], site.GATEWAY[family], **fields) / Raw(payload)
        assert bench.judge(ether(stranger)) == enforced("unregistered")


@pytest.mark.parametrize("number", [0, 2, 4, 41, 46, 59, 97, 103, 132, 255])
def test_protocol_that_is_no_service(number: int, bench: Bench) -> None:
    packet = ip(site.STRANGER[4], site.GATEWAY[4], proto=number) / Raw(b"\0" * 64)
    assert bench.judge(ether(packet)) == passed("unprotected", 1)


def test_malformed(family: int, bench: Bench) -> None:
    frame = bytearray(ether(ip(site.REGISTERED[family], site.GATEWAY[family]) / udp()))
    frame[HEADER] = (frame[HEADER] & 0x0F) | 0x50  # version 5
    assert bench.judge(bytes(frame)) == enforced("malformed")


def test_malformed_where_monitored(family: int, bench: Bench) -> None:
    frame = bytearray(ether(ip(site.REGISTERED[family], site.MONITORED[family]) / udp()))
    frame[HEADER] = (frame[HEADER] & 0x0F) | 0x50
    assert bench.judge(bytes(frame)) == passed("malformed", 2)


def test_malformed_to_elsewhere_is_left_alone(family: int, bench: Bench) -> None:
    frame = bytearray(ether(ip(site.STRANGER[family], site.ELSEWHERE[family]) / udp()))
    frame[HEADER] = 0
    assert bench.judge(bytes(frame)) == BYSTANDER


def test_echo_request(bench: Bench) -> None:
    v4 = ip(site.STRANGER[4], site.GATEWAY[4]) / ICMP()
    v6 = ip(site.STRANGER[6], site.GATEWAY[6]) / ICMPv6EchoRequest()
    assert bench.judge(ether(v4)) == passed("unprotected", 1)
    assert bench.judge(ether(v6)) == passed("unprotected", 1)


def test_neither_family(bench: Bench) -> None:
    assert bench.judge(ether(ARP(pdst=site.GATEWAY[4]))) == OTHER
    assert bench.judge(ether(Raw(b"\xaa\xaa\x03" + b"\0" * 43), type=46)) == OTHER  # LLC


def test_source_of_the_other_family(bench: Bench) -> None:
    """::ffff:203.0.113.7 is not 203.0.113.7."""
    mapped = ip(f"::ffff:{site.REGISTERED[4]}", site.GATEWAY[6]) / udp()
    assert bench.judge(ether(mapped)) == enforced("unregistered")
    compatible = ip("cb00:7107::", site.GATEWAY[6]) / udp()  # the same first word
    assert bench.judge(ether(compatible)) == enforced("unregistered")


def test_source_registered_at_another_gateway(bench: Bench) -> None:
    packet = ip(site.REGISTERED[4], site.SHARED[4]) / udp()
    assert bench.judge(ether(packet)) == passed("unregistered", site.EAST)


def test_gateway_without_a_row_monitors(program: Bench) -> None:
    without = {number: row for number, row in site.SITE.gateways.items() if number != site.HUB}
    program.hold(Tables(without, site.SITE.targets, site.SITE.entries))
    frame = ether(ip(site.STRANGER[4], site.GATEWAY[4]) / udp())
    assert program.plane.explain(frame, 0).would_drop
    assert program.plane.run(frame) == "pass"


def test_frame_too_short_for_ethernet(bench: Bench) -> None:
    assert bench.plane.explain(b"\0" * 13, 0).verdict == "other"
    assert bench.plane.run(b"\0" * 13) == "pass"
