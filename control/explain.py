"""Why a packet passes or not: the program's own decision, told with the registrations behind it."""

import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from control.model import Allowlist, Explanation, Gateway, Peer
from control.peers import NEAR, near_to
from policy import services
from policy.packets import Question
from policy.prefixes import Address, Network
from policy.window import Window, rfc3339

_AH = 51
_NO_NEXT_HEADER = 59
# Of registrations that cover a source so many are told; so much of an answer is bounded.
_TOLD = 20


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
        return {
            "packet": self.question.to_json(),
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
    """The packet as an Ethernet frame, with headers whole and nothing in them. Checksums are 0."""
    match asked.protocol:
        case services.UDP:
            content = struct.pack("!4H", asked.source_port, asked.port, 8, 0)
        case services.TCP:
            words, syn = 5, 2
            ports = asked.source_port, asked.port
            content = struct.pack("!2H2I2B3H", *ports, 0, 0, words << 4, syn, 8192, 0, 0)
        case _:
            # Also good as an extension header that nothing follows: its length is in the second
            # byte.
            words, size = (1, 12) if asked.protocol == _AH else (0, 8)
            content = bytes([_NO_NEXT_HEADER, words]).ljust(size, b"\0")
    source, destination = asked.source.packed, asked.destination.packed
    if asked.source.version == 4:
        kind, length = 0x0800, 20 + len(content)
        header = struct.pack("!2B3H2BH", 0x45, 0, length, 1, 0, 64, asked.protocol, 0)
    else:
        kind = 0x86DD
        header = struct.pack("!IH2B", 6 << 28, len(content), asked.protocol, 64)
    link = bytes.fromhex("020000000002 020000000001") + struct.pack("!H", kind)
    return link + header + source + destination + content


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
    near = () if name is None else near_to(allowlist.peers, asked.source, name, _TOLD + 1)
    covering = _covering(asked.source, name, near, now)
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
            why = _all_told(covering) or [_unknown(said)]
        case _:
            if peer is None:
                nearest = _nearest(asked.source, name, near, now)
            why = _all_told(covering)
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
    source: Address, gateway: str | None, peers: Iterable[Peer], now: datetime
) -> tuple[Registration, ...]:
    """All registrations at the gateway (at any, where it is None) that cover the source.

    The longest prefix comes first, of several the lowest id: the order of DESIGN.md.
    """
    found = [
        Registration(peer, prefix, _standing(peer.valid, now))
        for peer in peers
        if gateway is None or peer.gateway == gateway
        for prefix in peer.sources
        if source in prefix
    ]
    return tuple(sorted(found, key=lambda each: (-each.source.prefixlen, each.peer.id)))


def _nearest(
    source: Address, gateway: str | None, peers: Collection[Peer], now: datetime
) -> Registration | None:
    """The registration that came nearest: the same source elsewhere, else the next prefix here."""
    for elsewhere in _covering(source, None, peers, now):
        standing = f"{elsewhere.standing}, but is not at {gateway}"
        return replace(elsewhere, standing=standing)
    best: Registration | None = None
    most = NEAR[source.version] - 1
    for peer in peers:
        for prefix in peer.sources if peer.gateway == gateway else ():
            if prefix.version == source.version and _common_bits(source, prefix) > most:
                most = _common_bits(source, prefix)
                best = Registration(peer, prefix, f"does not cover {source}")
    return best


def _common_bits(source: Address, prefix: Network) -> int:
    """How many leading bits of the prefix the source shares."""
    differing = int(source) ^ int(prefix.network_address)
    return min(source.max_prefixlen - differing.bit_length(), prefix.prefixlen)


def _all_told(covering: Sequence[Registration]) -> list[str]:
    more = ["and more that cover it"] if len(covering) > _TOLD else []
    return [*map(_told, covering[:_TOLD]), *more]


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
