"""Why a packet passes or not: the program's own decision, told with the registrations behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from control.model import Allowlist, Explanation, Gateway, Peer
from policy.prefixes import Address, Network
from policy.services import TCP, UDP, Service
from policy.window import Window

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
    """The decision and its reasons, in sentences. `peer` decided; `nearest` nearly did."""

    question: Question
    now: datetime
    registry: str | None
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
            "registry": self.registry,
            "revision": self.revision,
            "verdict": self.said.verdict,
            "action": self.said.action,
            "would_drop": self.said.would_drop,
            "gateway": self.gateway,
            "peer": None if self.peer is None else self.peer.to_json(),
            "nearest": None if self.nearest is None else self.nearest.to_json(),
            "why": list(self.why),
        }


def rfc3339(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


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
    allowlist: Allowlist,
    now: datetime,
) -> Account:
    """The reasons for what the program said. `allowlist` is what its maps were filled from."""
    known = said.gateway is not None and said.verdict not in ("other", "bystander")
    name = gateways.get(said.gateway) if known and said.gateway is not None else None
    gateway = next((each for each in allowlist.gateways if each.name == name), None)
    covering = _covering(asked.source, name, allowlist, now) if name else ()
    peer = nearest = None
    match said.verdict:
        case "other":
            why = ["neither IPv4 nor IPv6"]
        case "bystander":
            why = [f"{asked.destination} is no gateway's address"]
        case "malformed":
            why = ["its headers cannot be judged"]
        case "unprotected":
            why = [_unprotected(asked, allowlist)]
        case "registered":
            peer = next((each for each in covering if each.standing == _HOLDS), None)
            why = [_registered(asked, said, peer, covering)]
        case "expired":
            ended = [each for each in covering if each.standing != _HOLDS]
            peer = max(ended, key=_last_end, default=None)
            why = [_told(asked, peer) if peer else _unknown(said)]
        case _:
            nearest = next(iter(covering), None) or _nearest(asked.source, name, allowlist, now)
            why = [f"{asked.source} is not registered at {name} now"]
            if nearest is not None:
                why.append(f"nearest: {_told(asked, nearest)}")
            else:
                why.append("no registration comes near it")
    if said.drop or said.would_drop:
        why.append(_consequence(gateway, name, said, now))
    return Account(
        question=asked,
        now=now,
        registry=allowlist.registry,
        revision=allowlist.revision,
        said=said,
        gateway=name,
        peer=peer,
        nearest=nearest,
        why=tuple(why),
    )


_HOLDS = "holds"


def _standing(valid: Window, now: datetime) -> str:
    if valid.start is not None and now < valid.start:
        return f"not yet valid: from {rfc3339(valid.start)}"
    if valid.end is not None and valid.end <= now:
        return f"ended at {rfc3339(valid.end)}"
    return _HOLDS


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
        standing = f"registered at {elsewhere.peer.gateway}, not at {gateway}"
        if elsewhere.standing != _HOLDS:
            standing += f", and {elsewhere.standing}"
        return Registration(elsewhere.peer, elsewhere.source, standing)
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


def _last_end(registration: Registration) -> tuple[bool, float]:
    end = registration.peer.valid.end
    return registration.standing.startswith("ended"), end.timestamp() if end else 0.0


def _told(asked: Question, registration: Registration) -> str:
    peer = registration.peer
    return (
        f"{registration.source} of peer {peer.name} at {peer.gateway} "
        f"({peer.owner}, {peer.contact}): {registration.standing}"
    )


def _unknown(said: Explanation) -> str:
    number = "?" if said.entry is None else said.entry.peer
    return f"peer {number} decided, of which the snapshot at hand knows nothing"


def _registered(
    asked: Question,
    said: Explanation,
    peer: Registration | None,
    covering: tuple[Registration, ...],
) -> str:
    if peer is None:
        return _unknown(said)
    why = (
        f"{asked.source} is in {peer.source} of peer {peer.peer.name}, {_validity(peer.peer.valid)}"
    )
    longest = covering[0]
    if longest is not peer:
        why += (
            f"; the longer {longest.source} of peer {longest.peer.name} "
            f"does not hold ({longest.standing})"
        )
    return why


def _validity(valid: Window) -> str:
    words = [
        f"{word} {rfc3339(moment)}"
        for word, moment in (("from", valid.start), ("until", valid.end))
        if moment is not None
    ]
    return f"valid {' '.join(words)}" if words else "valid without end"


def _unprotected(asked: Question, allowlist: Allowlist) -> str:
    here = [
        f"{gateway.name} ({', '.join(map(str, gateway.services))})"
        for gateway in allowlist.gateways
        if any(asked.destination in block for block in gateway.addresses)
    ]
    return f"{asked.service} is none of the services at {asked.destination}: {'; '.join(here)}"


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
