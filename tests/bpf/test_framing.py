"""A packet to a service is judged in every framing named in DESIGN.md, and only in those."""

from collections.abc import Callable

import pytest
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.packet import Raw

from tests.bpf import site
from tests.bpf.bench import OTHER, Bench, Outcome
from tests.bpf.frames import MAC, Layer, ether, ip, udp

REGISTERED = Outcome("registered", "pass", site.HUB, site.PEER_HOST)
STRANGER = Outcome("unregistered", "drop", site.HUB)

Framing = Callable[[Layer], Layer]


def pppoe(packet: Layer) -> Layer:
    return PPPoE(sessionid=1) / PPP(proto=0x0021 if IP in packet else 0x0057) / packet


def pppoe_compressed(packet: Layer) -> Layer:
    """PPP's protocol in one byte, as Linux takes it too."""
    return PPPoE(sessionid=1) / Raw(b"\x21" if IP in packet else b"\x57") / packet


JUDGED: dict[str, Framing] = {
    "plain": lambda packet: packet,
    "802.1Q": lambda packet: Dot1Q(vlan=7) / packet,
    "802.1ad": lambda packet: Dot1AD(vlan=7) / packet,
    "priority tag": lambda packet: Dot1Q(vlan=0, prio=5) / packet,
    "802.1ad, 802.1Q": lambda packet: Dot1AD(vlan=7) / Dot1Q(vlan=8) / packet,
    "802.1Q twice": lambda packet: Dot1Q(vlan=7) / Dot1Q(vlan=8) / packet,
    "802.1ad twice": lambda packet: Dot1AD(vlan=7) / Dot1AD(vlan=8) / packet,
    "PPPoE": pppoe,
    "PPPoE, compressed": pppoe_compressed,
    "802.1Q, PPPoE": lambda packet: Dot1Q(vlan=7) / pppoe(packet),
    "two tags, PPPoE": lambda packet: Dot1AD(vlan=7) / Dot1Q(vlan=8) / pppoe(packet),
    "two tags, PPPoE, compressed": lambda packet: (
        Dot1AD(vlan=7) / Dot1Q(vlan=8) / pppoe_compressed(packet)
    ),
}

LEFT_ALONE: dict[str, Framing] = {
    "third tag": lambda packet: Dot1AD() / Dot1Q() / Dot1Q() / packet,
    "MPLS": lambda packet: MPLS(label=100) / packet,
    "tag, MPLS": lambda packet: Dot1Q(vlan=7) / MPLS(label=100) / packet,
    "LCP": lambda packet: PPPoE(sessionid=1) / PPP(proto=0xC021) / packet,
    "LCP, compressed": lambda packet: PPPoE(sessionid=1) / Raw(b"\x23") / packet,
}


@pytest.mark.parametrize("framing", JUDGED.values(), ids=JUDGED)
def test_judged(framing: Framing, family: int, bench: Bench) -> None:
    known = framing(ip(site.REGISTERED[family], site.GATEWAY[family]) / udp())
    assert bench.judge(ether(known)) == REGISTERED
    stranger = framing(ip(site.STRANGER[family], site.GATEWAY[family]) / udp())
    assert bench.judge(ether(stranger)) == STRANGER


@pytest.mark.parametrize("framing", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_left_alone(framing: Framing, family: int, bench: Bench) -> None:
    packet = framing(ip(site.STRANGER[family], site.GATEWAY[family]) / udp())
    assert bench.judge(ether(packet)) == OTHER


@pytest.mark.parametrize("kind", [0x8863, 0x88E5, 0x8847, 0x9100, 0x0806, 0x05DC, 0xFFFF])
def test_other_ethertypes(kind: int, bench: Bench) -> None:
    packet = bytes(ip(site.STRANGER[4], site.GATEWAY[4]) / udp())
    assert bench.judge(ether(Raw(packet), type=kind)) == OTHER


def test_ethertype_and_packet_disagree(bench: Bench) -> None:
    """IPv4 under IPv6's EtherType: what stands where its destination would is no gateway."""
    packet = bytes(IP(src=site.STRANGER[4], dst=site.GATEWAY[4]) / udp())
    assert bench.judge(ether(Raw(packet), type=0x86DD)).verdict in ("bystander", "other")
    packet = bytes(IPv6(src=site.STRANGER[6], dst=site.GATEWAY[6]) / udp())
    assert bench.judge(ether(Raw(packet), type=0x0800)).verdict == "bystander"


@pytest.mark.parametrize("framing", JUDGED.values(), ids=JUDGED)
def test_cut_off_before_the_destination_is_other(
    framing: Framing, family: int, bench: Bench
) -> None:
    packet = ip(site.STRANGER[family], site.GATEWAY[family]) / udp()
    frame = ether(framing(packet))
    destination_ends = len(frame) - len(packet) + (20 if family == 4 else 40)
    for length in range(14, destination_ends):
        assert bench.judge(frame[:length]) == OTHER
    assert bench.judge(frame[:destination_ends]) == Outcome("malformed", "drop", site.HUB)


@pytest.mark.parametrize(
    ("field", "value"), [("version", 2), ("type", 3), ("code", 0x09), ("len", 1), ("len", 0xFFFF)]
)
def test_odd_pppoe_gets_nothing_past(field: str, value: int, bench: Bench) -> None:
    """Linux looks at none of these in a session; a check here would be a way around."""
    packet = ip(site.STRANGER[4], site.GATEWAY[4]) / udp()
    odd = PPPoE(sessionid=1, **{field: value}) / PPP(proto=0x0021) / packet
    assert bench.judge(bytes(Ether(**MAC, type=0x8864) / odd)) == STRANGER


def test_trailing_padding_is_no_part_of_the_packet(family: int, bench: Bench) -> None:
    """A UDP header cut off by its IP header's length is not completed by padding."""
    fields = {"len": 20 + 2} if family == 4 else {"plen": 2}
    cut = ip(site.REGISTERED[family], site.GATEWAY[family], **fields) / udp()
    assert bench.judge(ether(cut) + b"\0" * 40) == Outcome("malformed", "drop", site.HUB)
    whole = ip(site.REGISTERED[family], site.GATEWAY[family]) / udp()
    assert bench.judge(ether(whole) + b"\0" * 40) == REGISTERED
