"""An independent model of the verdict: DESIGN.md's rules in plain Python, slow and readable.

It works on registrations, not on maps, and reads bytes by hand. Sentences in quotation marks are
DESIGN.md's. Where that is terse, the choice made here is marked "Read as".
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from control.model import DROPPING, Gateway, Peer
from policy.prefixes import Address
from policy.services import TCP, UDP, Service
from policy.window import Window

VLAN_TAGS = (0x8100, 0x88A8)
PPPOE_SESSION = 0x8864
ETHERTYPES = {0x0800: 4, 0x86DD: 6}
PPP_PROTOCOLS = {0x0021: 4, 0x0057: 6}

FIXED_HEADER = {4: 20, 6: 40}  # both end with the destination address
HOP_BY_HOP, ROUTING, FRAGMENT, AH, DESTINATION = 0, 43, 44, 51, 60
MOBILITY, HIP, SHIM6 = 135, 139, 140
# "The header chain is walked ..., in IPv4 too": there it is AH alone.
WALKED = {
    4: frozenset({AH}),
    6: frozenset({HOP_BY_HOP, ROUTING, FRAGMENT, AH, DESTINATION, MOBILITY, HIP, SHIM6}),
}
MOST_HEADERS = 8
LAST_BYTE = 1024  # Read as: counted from the first byte of the IP header.


class Why(StrEnum):
    """The rule that decided: for people, and to see that frames come near every rule."""

    NOT_IP = "neither IPv4 nor IPv6"
    NO_DESTINATION = "cut off before its destination address"
    NO_GATEWAY = "no gateway's address"
    NO_SERVICE = "none of its services"
    SERVICE = "service"
    FRAGMENT_OF_SERVICE = "fragment of a service without ports"
    FRAGMENT_WITHOUT_PORTS = "fragment without ports"
    FRAGMENT_OF_NO_SERVICE = "fragment of no service"
    VERSION = "version does not match the EtherType"
    IHL = "IHL below 5"
    IPV4_CUT_OFF = "IPv4 header cut off"
    EXTENSION_CUT_OFF = "extension header cut off"
    TOO_MANY = "more than eight extension headers"
    TOO_FAR = "headers go on past byte 1,024"
    NO_PORTS = "fewer than 4 bytes of TCP or UDP"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a frame. `gateway` is a name, `peer` an id; `why` is not compared."""

    verdict: str
    action: str = "pass"
    gateway: str | None = None
    peer: int | None = None
    why: Why | None = field(default=None, compare=False)


class MalformedError(Exception):
    """The headers of a packet to a gateway's address cannot be judged."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Shown:
    """What the headers show: where they end, and the destination port if there is one."""

    protocol: int
    port: int | None = None
    first: bool = True


def judge(
    gateways: Sequence[Gateway], peers: Sequence[Peer], frame: bytes, now: datetime
) -> Verdict:
    """The verdict on `frame`. Gateways are numbered in the order given."""
    framed = unframe(frame)
    if framed is None:
        return Verdict("other", why=Why.NOT_IP)
    family, packet = framed
    if len(packet) < FIXED_HEADER[family]:
        return Verdict("other", why=Why.NO_DESTINATION)
    source, destination = addresses(family, packet)
    here = [g for g in gateways if any(destination in block for block in g.addresses)]
    if not here:
        return Verdict("bystander", why=Why.NO_GATEWAY)
    offered = {service: gateway for gateway in here for service in gateway.services}
    try:
        shown = walk(family, packet, frozenset(s.protocol for s in offered if s.port is None))
    except MalformedError as error:
        return of_no_single_service(here, "malformed", None, now, error.why)

    if shown.protocol in (TCP, UDP) and not shown.first:
        if all(service.protocol != shown.protocol for service in offered):
            return of_no_single_service(here, "unprotected", None, now, Why.FRAGMENT_OF_NO_SERVICE)
        # "registered if the source is registered at any gateway on the address, else expired or
        # unregistered". Read as: the peers of all of them are as those of one.
        word, named = standing(here, peers, source, now)
        return of_no_single_service(here, word, named, now, Why.FRAGMENT_WITHOUT_PORTS)

    gateway = offered.get(Service(shown.protocol, shown.port))
    if gateway is None:
        why = Why.NO_SERVICE if shown.first else Why.FRAGMENT_OF_NO_SERVICE
        return of_no_single_service(here, "unprotected", None, now, why)
    standing_there, peer = standing([gateway], peers, source, now)
    why = Why.SERVICE if shown.first else Why.FRAGMENT_OF_SERVICE
    return decided(standing_there, gateway.name, peer, enforces(gateway, now), why)


def of_no_single_service(
    here: Sequence[Gateway], word: str, peer: int | None, now: datetime, why: Why
) -> Verdict:
    """ "Counted at the address's lowest gateway number and dropped if any gateway on that address
    enforces". Read as: malformed and unprotected packets too."""
    return decided(word, here[0].name, peer, any(enforces(g, now) for g in here), why)


def decided(word: str, gateway: str, peer: int | None, enforcing: bool, why: Why) -> Verdict:
    """ "'Drop' holds where the gateway enforces"."""
    action = "drop" if word in DROPPING and enforcing else "pass"
    return Verdict(word, action, gateway, peer, why)


# Framing


def unframe(frame: bytes) -> tuple[int, bytes] | None:
    """The address family that the framing announces, and the bytes after it; None is `other`.

    "Ethernet, up to two VLAN tags (802.1Q, 802.1ad), PPPoE session." Read as: PPPoE's version,
    code, session and length are not judged (the packet's end is IP's own business), and PPP's
    protocol may be compressed to one odd byte, as Linux accepts it: "must never get past".
    """
    if len(frame) < 14:
        return None
    kind, at = half(frame, 12), 14
    for _ in range(2):
        if kind in VLAN_TAGS:
            if len(frame) < at + 4:
                return None
            kind, at = half(frame, at + 2), at + 4
    if kind == PPPOE_SESSION:
        return unframe_ppp(frame[at + 6 :])
    family = ETHERTYPES.get(kind)
    return None if family is None else (family, frame[at:])


def unframe_ppp(ppp: bytes) -> tuple[int, bytes] | None:
    if not ppp:
        return None
    if ppp[0] & 1:
        protocol, packet = ppp[0], ppp[1:]
    elif len(ppp) >= 2:
        protocol, packet = half(ppp, 0), ppp[2:]
    else:
        return None
    family = PPP_PROTOCOLS.get(protocol)
    return None if family is None else (family, packet)


# Headers


def addresses(family: int, packet: bytes) -> tuple[Address, Address]:
    """Source and destination, where the announced family has them, whatever the version says."""
    if family == 4:
        return IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
    return IPv6Address(packet[8:24]), IPv6Address(packet[24:40])


def walk(family: int, packet: bytes, services: frozenset[int]) -> Shown:
    """Follow the header chain to its end. `services`: this address's protocols without ports.

    "A packet ends at the frame's end or at the length that its IP header declares". Read as: a
    declared length that ends before the IP header does cuts that header off, so an IPv4 length of
    0 is malformed; an IPv6 one of 0 ends the packet after 40 bytes (no jumbograms). A protocol
    that is a service without ports, or none at all, needs no bytes of its own.
    """
    if packet[0] >> 4 != family:
        raise MalformedError(Why.VERSION)
    if family == 4:
        at, end, protocol = (packet[0] & 15) * 4, half(packet, 2), packet[9]
        if at < 20:
            raise MalformedError(Why.IHL)
        if min(end, len(packet)) < at:
            raise MalformedError(Why.IPV4_CUT_OFF)
        if half(packet, 6) & 0x1FFF:
            return Shown(protocol, first=False)
    else:
        at, end, protocol = 40, 40 + half(packet, 4), packet[6]
    packet = packet[:end]

    walked = 0
    # "until a header whose protocol is a service of that address ends it"
    while protocol in WALKED[family] and protocol not in services:
        walked += 1
        if walked > MOST_HEADERS:
            raise MalformedError(Why.TOO_MANY)
        if len(packet) < at + 8:  # Every extension header has at least 8 bytes.
            raise MalformedError(Why.EXTENSION_CUT_OFF)
        following, length = packet[at], packet[at + 1]
        if protocol == FRAGMENT:
            size = 8
        elif protocol == AH:
            size = (length + 2) * 4
        else:
            size = (length + 1) * 8
        if len(packet) < at + size:
            raise MalformedError(Why.EXTENSION_CUT_OFF)
        if at + size > LAST_BYTE:
            raise MalformedError(Why.TOO_FAR)
        if protocol == FRAGMENT and half(packet, at + 2) & 0xFFF8:
            return Shown(following, first=False)
        protocol, at = following, at + size

    if protocol not in (TCP, UDP):
        return Shown(protocol)
    # Read as: also where the address has no TCP or no UDP service.
    if len(packet) < at + 4:
        raise MalformedError(Why.NO_PORTS)
    if at + 4 > LAST_BYTE:
        raise MalformedError(Why.TOO_FAR)
    return Shown(protocol, half(packet, at + 2))


def half(data: bytes, at: int) -> int:
    value: int = struct.unpack_from("!H", data, at)[0]
    return value


# Registrations


def standing(
    gateways: Sequence[Gateway], peers: Sequence[Peer], source: Address, now: datetime
) -> tuple[str, int | None]:
    """How `source` stands at any of `gateways`, and the peer named.

    "Registered if *any* peer that covers it is inside its validity", else expired if one has
    ended, else unregistered ("not registered there, or not yet valid"). "The peer named for a
    packet is the longest prefix's, of several the lowest id": whether or not its own window holds.
    """
    names = {gateway.name for gateway in gateways}
    covering = [
        (-prefix.prefixlen, peer.id, peer.valid)
        for peer in peers
        if peer.gateway in names
        for prefix in peer.sources
        if source in prefix
    ]
    named = min(((length, id_) for length, id_, _ in covering), default=(0, None))[1]
    if any(inside(window, now) for _, _, window in covering):
        return "registered", named
    if any(window.end is not None and window.end <= now for _, _, window in covering):
        return "expired", named
    return "unregistered", named


def enforces(gateway: Gateway, now: datetime) -> bool:
    return gateway.enforce is not None and inside(gateway.enforce, now)


def inside(window: Window, now: datetime) -> bool:
    """ "Windows are half-open, [from, until), in UTC"."""
    after_start = window.start is None or window.start <= now
    return after_start and (window.end is None or now < window.end)
