"""Tagged frames on the virtual router's uplink, and the VLAN interfaces that they belong to."""

import socket
from dataclasses import dataclass

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from lab.topology import GATEWAY
from tests.control.edge import PORT
from tests.vm.router import Router
from tests.vm.router_net import TAP

PAYLOAD = b"tunnel".ljust(100, b".")
BARE = 14 + 20 + 8 + len(PAYLOAD)  # the frame without tags
TAG = 4
CUSTOMER, SERVICE = 300, 400


@dataclass(frozen=True, slots=True)
class Framing:
    """`strips`: a card may take the outer tag off, which it does for 802.1Q alone."""

    name: str
    tags: tuple[type[Packet], ...]
    strips: bool = False

    def __str__(self) -> str:
        return self.name


FRAMINGS = (
    Framing("untagged", ()),
    Framing("802.1Q", (Dot1Q,), strips=True),
    Framing("802.1ad", (Dot1AD,)),
    Framing("802.1Q in 802.1ad", (Dot1AD, Dot1Q)),
    Framing("802.1Q in 802.1Q", (Dot1Q, Dot1Q), strips=True),
)
THREE_TAGS = Framing("three tags", (Dot1Q, Dot1Q, Dot1Q), strips=True)


def add_vlans(router: Router) -> None:
    """Interfaces of the router for every framing, inner ones over outer ones."""
    uplink = "ip link add link uplink name"
    router.run(
        f"""set -e
        {uplink} vlan-q type vlan id {SERVICE}
        {uplink} vlan-ad type vlan proto 802.1ad id {SERVICE}
        ip link add link vlan-q name vlan-q-q type vlan id {CUSTOMER}
        ip link add link vlan-ad name vlan-ad-q type vlan id {CUSTOMER}
        for link in q ad q-q ad-q; do ip link set vlan-$link up; done"""
    )


def frame(framing: Framing, source: str) -> bytes:
    """A datagram to the gateway's service, straight to the uplink's card."""
    packet = Ether(dst="52:54:00:00:00:00", src="02:00:00:00:00:01")
    for number, tag in enumerate(framing.tags):
        packet /= tag(vlan=CUSTOMER if number else SERVICE)
    packet /= IP(src=source, dst=GATEWAY) / UDP(sport=PORT, dport=PORT) / Raw(PAYLOAD)
    return bytes(packet)


def send(router: Router, framing: Framing, source: str, count: int) -> None:
    with router.net.internet.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((TAP, 0))
        for _ in range(count):
            out.send(frame(framing, source))
