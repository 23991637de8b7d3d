"""Why a packet passes or not: the program's own decision, told with the registrations behind it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from control.model import Allowlist, Explanation, Gateway, Peer
from policy.prefixes import Address, Network
from policy.services import TCP, UDP, Service
from policy.window import Window, rfc3339

PROTOCOLS = {
    "icmp": 1,
    "ipip": 4,
    "tcp": TCP,
    "udp": UDP,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "icmpv6": 58,
    "ospf": 89,
    "vrrp": 112,
    "sctp": 132,
}
_AH = 51
_NO_NEXT_HEADER = 59
# A registration with fewer leading bits in common is not called near.
_NEAR = {4: 8, 6: 16}


@dataclass(frozen=True, slots=True)
class Question:
    """A packet to ask about. Ports are there for UDP and TCP alone."""

    source: Address
    destination: Address
    protocol: int
    source_port: int | None = None
    port: int | None = None

    @property
    def service(self) -> Service:
        return Service(self.protocol, self.port)


@dataclass(frozen=True, slots=True)
class Registration:
    """One prefix of a peer, and how it stands to the packet asked about."""

    peer: Peer
    source: Network
    standing: str

    def to_json(self) -> dict[str, object]:
        peer = self.peer
        return {
            "id": peer.id,
            "name": peer.name,
            "gateway": peer.gateway,
            "owner": peer.owner,
            "contact": peer.contact,
            "purpose": peer.purpose,
            "source": str(self.source),
            "valid_from": rfc3339(peer.valid.start),
            "valid_until": rfc3339(peer.valid.end),
            "standing": self.standing,
        }


@dataclass(frozen=True, slots=True)
class Account:
    """The decision and its reasons, in sentences.

    `peer` is the one named for the packet; `nearest` is there where no registration covers it.
    """

    question: Question
    now: datetime
    revision: int | None
    said: Explanation
    gateway: str | None
    peer: Registration | None
    nearest: Registration | None
    why: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        asked = self.question
        return {
            "packet": {
                "src": str(asked.source),
                "dst": str(asked.destination),
                "proto": asked.protocol,
                "sport": asked.source_port,
                "dport": asked.port,
            },
            "now": rfc3339(self.now),
            "revision": self.revision,
            "verdict": self.said.verdict,
            "action": self.said.action,
            "would_drop": self.said.would_drop,
            "gateway": self.gateway,
            "peer": None if self.peer is None else self.peer.to_json(),
            "nearest": None if self.nearest is None else self.nearest.to_json(),
            "why": list(self.why),
        }


def build(asked: Question) -> bytes:
    """The packet as an Ethernet frame, with headers whole and nothing in them."""
    from scapy.layers import inet
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether
    from scapy.packet import Raw

    if asked.source.version == 4:
        packet = inet.IP(src=str(asked.source), dst=str(asked.destination), proto=asked.protocol)
    else:
        packet = IPv6(src=str(asked.source), dst=str(asked.destination), nh=asked.protocol)
    if asked.protocol in (TCP, UDP):
        transport = inet.UDP if asked.protocol == UDP else inet.TCP
        packet /= transport(sport=asked.source_port, dport=asked.port)
    else:
        # Also good as an extension header that nothing follows: its length is in the second byte.
        words = 1 if asked.protocol == _AH else 0
        packet /= Raw(bytes([_NO_NEXT_HEADER, words]).ljust(12 if words else 8, b"\0"))
    frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet
    return bytes(frame)


def account(
    asked: Question,
    said: Explanation,
    gateways: Mapping[int, str],
    known: Allowlist | None,
    now: datetime,
) -> Account:
    """The reasons for what the program said. `known` is what its maps were filled from."""
    allowlist = known or Allowlist("", 0, now, (), ())
    name = None if said.gateway is None else gateways.get(said.gateway)
    gateway = next((each for each in allowlist.gateways if each.name == name), None)
    covering = _covering(asked.source, name, allowlist, now) if name else ()
    peer = covering[0] if covering else None
    nearest = None
    match said.verdict:
        case "other":
            why = ["neither IPv4 nor IPv6"]
        case "bystander":
            why = [f"{asked.destination} is no gateway's address"]
        case "malformed":
            why = ["its headers cannot be judged"]
        case "unprotected":
            peer = None
            why = [_unprotected(asked, allowlist)]
        case "registered" | "expired":
            why = [_told(each) for each in covering] or [_unknown(said)]
        case _:
            if peer is None:
                nearest = _nearest(asked.source, name, allowlist, now)
            why = [_told(each) for each in covering]
            why += [f"nearest: {_told(nearest)}"] if nearest else []
            why = why or [f"no registration at {name} comes near {asked.source}"]
    if said.drop or said.would_drop:
        why.append(_consequence(gateway, name, said, now))
    return Account(
        question=asked,
        now=now,
        revision=None if known is None else known.revision,
        said=said,
        gateway=name,
        peer=peer,
        nearest=nearest,
        why=tuple(why),
    )


def _standing(valid: Window, now: datetime) -> str:
    if valid.start is not None and now < valid.start:
        return f"is not yet valid: from {rfc3339(valid.start)}"
    if valid.end is not None and valid.end <= now:
        return f"ended at {rfc3339(valid.end)}"
    return "is valid" if valid.end is None else f"is valid until {rfc3339(valid.end)}"


def _covering(
    source: Address, gateway: str | None, allowlist: Allowlist, now: datetime
) -> tuple[Registration, ...]:
    """All registrations at the gateway (at any, where it is None) that cover the source.

    The longest prefix comes first, of several the lowest id: the order of DESIGN.md.
    """
    found = [
        Registration(peer, prefix, _standing(peer.valid, now))
        for peer in allowlist.peers
        if gateway is None or peer.gateway == gateway
        for prefix in peer.sources
        if source in prefix
    ]
    return tuple(sorted(found, key=lambda each: (-each.source.prefixlen, each.peer.id)))


def _nearest(
    source: Address, gateway: str | None, allowlist: Allowlist, now: datetime
) -> Registration | None:
    """The registration that came nearest: the same source elsewhere, else the next prefix here."""
    for elsewhere in _covering(source, None, allowlist, now):
        standing = f"{elsewhere.standing}, but is not at {gateway}"
        return replace(elsewhere, standing=standing)
    best: Registration | None = None
    most = _NEAR[source.version] - 1
    for peer in allowlist.peers:
        for prefix in peer.sources if peer.gateway == gateway else ():
            if prefix.version == source.version and _common_bits(source, prefix) > most:
                most = _common_bits(source, prefix)
                best = Registration(peer, prefix, f"does not cover {source}")
    return best


def _common_bits(source: Address, prefix: Network) -> int:
    """How many leading bits of the prefix the source shares."""
    differing = int(source) ^ int(prefix.network_address)
    return min(source.max_prefixlen - differing.bit_length(), prefix.prefixlen)


def _told(registration: Registration) -> str:
    peer = registration.peer
    return (
        f"{registration.source} of peer {peer.name} ({peer.id}) at {peer.gateway} "
        f"{registration.standing}"
    )


def _unknown(said: Explanation) -> str:
    number = "?" if said.entry is None else said.entry.peer
    return f"peer {number} decided, of which the snapshot on disk knows nothing"


def _unprotected(asked: Question, allowlist: Allowlist) -> str:
    here = [
        f"{gateway.name} ({', '.join(map(str, gateway.services))})"
        for gateway in allowlist.gateways
        if any(asked.destination in block for block in gateway.addresses)
    ]
    offered = f": {'; '.join(here)}" if here else ""
    return f"{asked.service} is none of the services at {asked.destination}{offered}"


def _consequence(
    gateway: Gateway | None, name: str | None, said: Explanation, now: datetime
) -> str:
    """What the gateway's mode makes of a dropping verdict."""
    if said.drop:
        return f"{name} enforces: dropped"
    passes = "it passes, counted as would drop"
    if gateway is None or gateway.enforce is None:
        return f"{name} monitors: {passes}"
    window = gateway.enforce
    if window.start is not None and now < window.start:
        return f"{name} enforces only from {rfc3339(window.start)}: {passes}"
    if window.end is not None:
        return f"{name} enforced until {rfc3339(window.end)}: {passes}"
    return f"{name}: {passes}"
