"""Frames as the tests write them: Scapy's layers over a fixed Ethernet header."""

from typing import Any

from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

Layer = Any  # scapy has no types

MAC = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
WIREGUARD = 51820
HEADER = 14  # Ethernet's
LATER = 185  # a fragment's offset, in units of 8 bytes


def ether(packet: Layer, **fields: object) -> bytes:
    """`packet` in an Ethernet frame, as bytes."""
    return bytes(Ether(**MAC, **fields) / packet)


def ip(source: str, destination: str, **fields: object) -> Layer:
    """An IP header of the addresses' family."""
    header = IPv6 if ":" in destination else IP
    return header(src=source, dst=destination, **fields)


def udp(port: int = WIREGUARD, payload: bytes = b"tunnel") -> Layer:
    return UDP(sport=40000, dport=port) / Raw(payload)


def tcp(port: int, payload: bytes = b"") -> Layer:
    return TCP(sport=40000, dport=port, flags="S") / Raw(payload)


def protocol(family: int, number: int) -> dict[str, int]:
    """The header field that names what follows."""
    return {"proto": number} if family == 4 else {"nh": number}


def piece(
    source: str, destination: str, number: int, offset: int, payload: bytes = b"\0" * 64
) -> Layer:
    """A fragment of protocol `number` at `offset`, more to follow."""
    if ":" in destination:
        header = IPv6(src=source, dst=destination)
        return header / IPv6ExtHdrFragment(nh=number, offset=offset, m=1, id=7) / Raw(payload)
    header = IP(src=source, dst=destination, proto=number, frag=offset, flags="MF", id=7)
    return header / Raw(payload)


def pieces(packet: Layer, family: int) -> list[bytes]:
    """A whole packet as fragments of about 512 bytes."""
    if family == 4:
        return [ether(each) for each in fragment(packet, fragsize=512)]
    whole = IPv6(src=packet.src, dst=packet.dst) / IPv6ExtHdrFragment(id=7) / packet.payload
    return [ether(each) for each in fragment6(whole, 512)]
