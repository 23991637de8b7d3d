"""What an allowlist must not break at a gateway's own address: all of this passes uncounted as
would-drop, whoever sends it."""

import pytest
from scapy.contrib.bfd import BFD
from scapy.contrib.ospf import OSPF_Hdr, OSPF_Hello
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
)
from scapy.layers.vrrp import VRRPv3
from scapy.packet import Raw

from tests.bpf import site
from tests.bpf.bench import BYSTANDER, Bench, Outcome
from tests.bpf.frames import Layer, ether, ip, pieces

UNPROTECTED = Outcome("unprotected", "pass", site.HUB)


def inner(family: int) -> Layer:
    """A packet that the gateway sent, as an ICMP error gives it back."""
    return ip(site.GATEWAY[family], site.STRANGER[family]) / UDP(sport=51820, dport=40000)


V4 = {
    "fragmentation needed": ICMP(type=3, code=4, nexthopmtu=1280) / inner(4),
    "port unreachable": ICMP(type=3, code=3) / inner(4),
    "time exceeded": ICMP(type=11) / inner(4),
    "echo reply": ICMP(type=0) / Raw(b"x" * 56),
}
V6 = {
    "packet too big": ICMPv6PacketTooBig(mtu=1280) / inner(6),
    "port unreachable": ICMPv6DestUnreach(code=4) / inner(6),
    "time exceeded": ICMPv6TimeExceeded() / inner(6),
    "neighbour solicitation": ICMPv6ND_NS(tgt=site.GATEWAY[6]),
    "neighbour advertisement": ICMPv6ND_NA(tgt=site.STRANGER[6]),
    "router advertisement": ICMPv6ND_RA(),
}
BOTH = {
    "BFD": UDP(sport=49152, dport=3784) / BFD(),
    "multi-hop BFD": UDP(sport=49152, dport=4784) / BFD(),
    "BGP": TCP(sport=40000, dport=179, flags="S"),
    "BGP, its own session": TCP(sport=179, dport=40000, flags="A") / Raw(b"\xff" * 19),
    "SSH": TCP(sport=40000, dport=22, flags="PA") / Raw(b"SSH-2.0-"),
    "SSH, a full segment": TCP(sport=40000, dport=22, flags="A") / Raw(b"x" * 1400),
    "SNMP": UDP(sport=40000, dport=161) / Raw(b"x"),
    "DNS answer to a port of its own": UDP(sport=53, dport=34567) / Raw(b"x" * 400),
    "NTP answer": UDP(sport=123, dport=123) / Raw(b"x" * 48),
    "HTTPS answer to a port of its own": TCP(sport=443, dport=51820, flags="SA"),
    "tunnel that it opened itself": UDP(sport=51820, dport=40001) / Raw(b"x" * 92),
    "SYN to a port beside a service": TCP(sport=40000, dport=1195, flags="S"),
}


@pytest.mark.parametrize("payload", V4.values(), ids=V4)
def test_ipv4(payload: Layer, bench: Bench) -> None:
    assert (
        bench.judge(ether(IP(src=site.STRANGER[4], dst=site.GATEWAY[4]) / payload)) == UNPROTECTED
    )


@pytest.mark.parametrize("payload", V6.values(), ids=V6)
def test_ipv6(payload: Layer, bench: Bench) -> None:
    packet = IPv6(src=site.STRANGER[6], dst=site.GATEWAY[6], hlim=255) / payload
    assert bench.judge(ether(packet)) == UNPROTECTED


@pytest.mark.parametrize("payload", BOTH.values(), ids=BOTH)
def test_both_families(payload: Layer, family: int, bench: Bench) -> None:
    packet = ip(site.STRANGER[family], site.GATEWAY[family]) / payload
    assert bench.judge(ether(packet)) == UNPROTECTED


def test_routing_protocols_of_their_own(bench: Bench) -> None:
    to_gateway = IP(src=site.STRANGER[4], dst=site.GATEWAY[4])
    assert bench.judge(ether(to_gateway / OSPF_Hdr() / OSPF_Hello())) == UNPROTECTED
    vrrp = to_gateway.copy()
    vrrp.ttl, vrrp.proto = 255, 112
    assert bench.judge(ether(vrrp / VRRPv3(addrlist=[site.GATEWAY[4]]))) == UNPROTECTED
    ospf6 = IPv6(src=site.STRANGER[6], dst=site.GATEWAY[6], nh=89) / Raw(b"\x03\x01" + b"\0" * 40)
    assert bench.judge(ether(ospf6)) == UNPROTECTED


@pytest.mark.parametrize(
    "packet",
    [
        IP(src="192.0.2.1", dst="224.0.0.18", proto=112) / VRRPv3(),
        IP(src="192.0.2.1", dst="224.0.0.5") / OSPF_Hdr() / OSPF_Hello(),
        IPv6(src="2001:db8::9", dst="ff02::1:ff00:1") / ICMPv6ND_NS(tgt="2001:db8::1"),
        IP(src="192.0.2.66", dst="255.255.255.255") / UDP(sport=68, dport=67),
        IP(src=site.GATEWAY[4], dst="192.0.2.66") / UDP(sport=51820, dport=4000),
    ],
)
def test_multicast_and_what_the_gateway_sends(packet: Layer, bench: Bench) -> None:
    assert bench.judge(ether(packet)) == BYSTANDER


def test_large_tcp_in_fragments_needs_registration_only_where_tcp_is_offered(
    family: int, bench: Bench
) -> None:
    """NORTH and SOUTH offer no TCP, so that nobody's large segments are in the way."""
    big = TCP(sport=40000, dport=22, flags="PA") / Raw(b"x" * 3000)
    frames = pieces(ip(site.STRANGER[family], site.SHARED_MONITORED[family]) / big, family)
    for frame in frames:
        assert bench.judge(frame) == Outcome("unprotected", "pass", site.NORTH)
