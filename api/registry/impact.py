"""What a change would do to sources: which are cut off or let in, and when they were seen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_network

from api.records import Peer, State
from api.registry import peers, sightings
from api.registry.core import Read
from api.registry.policy import Comparison
from api.store import peers as peer_rows
from policy.document import PeerSpec
from policy.prefixes import SHORTEST_SOURCE, Cover, Network

# So many sources are looked for among all others; beyond it a preview would take too long.
LOOKED_FOR = 10_000

Change = tuple[Peer | None, Peer | None]


@dataclass(frozen=True, slots=True)
class Effect:
    """One peer's sources that pass now, or later, and would not; and the other way round."""

    peer: Peer
    cut: tuple[str, ...]
    let_in: tuple[str, ...]
    last_seen: datetime | None


@dataclass(frozen=True, slots=True)
class Impact:
    """Those cut off that were seen last come first. Not `exact`: what another peer covers is
    not left out."""

    effects: tuple[Effect, ...]
    exact: bool


def of_policy(read: Read, found: Comparison) -> Impact:
    """Of a document, as if it were applied now."""
    changes: list[Change] = [(None, _new(spec, read.now)) for spec in found.add_peers]
    changes += [
        (before, replace(peers.filled(before, spec), state=State.APPROVED))
        for before, spec in found.match_peers
    ]
    changes += [(before, None) for before in found.revoke_peers]
    return of(read, changes)


def _new(spec: PeerSpec, now: datetime) -> Peer:
    """One that has no id yet."""
    blank = Peer(
        id=0,
        gateway=spec.gateway,
        name="",
        owner="",
        contact="",
        purpose="",
        sources=(),
        valid_from=None,
        valid_until=None,
        state=State.APPROVED,
        listed=False,
        version=0,
        created=now,
        created_by="",
        decided=None,
        decided_by=None,
        reason=None,
    )
    return peers.filled(blank, spec)


def of(read: Read, changes: Sequence[Change]) -> Impact:
    """`changes` are peers before and after; None where there is none."""
    touched = {each.id for change in changes for each in change if each is not None and each.id}
    was = _covers(read, (before for before, _ in changes))
    will = _covers(read, (after for _, after in changes))
    found = []
    for before, after in changes:
        peer = after or before
        assert peer is not None
        cut = _left(before, will.get(peer.gateway), read.now)
        let_in = _left(after, was.get(peer.gateway), read.now)
        if cut or let_in:
            found.append((peer, cut, let_in))
    count = sum(len(cut) + len(let_in) for _, cut, let_in in found)
    exact = count <= LOOKED_FOR
    elsewhere = _elsewhere(read, found, touched) if exact else {}
    seen = sightings.last(read, [peer for peer, cut, _ in found if cut])
    effects = []
    for peer, cut, let_in in found:
        others = elsewhere.get(peer.gateway)
        cut, let_in = _without(cut, others), _without(let_in, others)
        if cut or let_in:
            last = seen.get(peer.id) if cut else None
            effects.append(Effect(peer, _text(cut), _text(let_in), last))
    effects.sort(key=_urgency, reverse=True)
    return Impact(tuple(effects), exact)


def _urgency(effect: Effect) -> tuple[bool, float]:
    seen = effect.last_seen
    return bool(effect.cut), 0.0 if seen is None else seen.timestamp()


def _passing(peer: Peer | None, now: datetime) -> list[Network]:
    """The sources of one that is approved and has not ended."""
    if peer is None or peer.state is not State.APPROVED or peer.shown(now) is State.EXPIRED:
        return []
    return [ip_network(source) for source in peer.sources]


def _covers(read: Read, some: Iterable[Peer | None]) -> Mapping[str, Cover]:
    """By gateway, what these alone let in."""
    by_gateway: dict[str, list[Network]] = {}
    for peer in some:
        if peer is not None:
            by_gateway.setdefault(peer.gateway, []).extend(_passing(peer, read.now))
    return {gateway: Cover(networks) for gateway, networks in by_gateway.items()}


def _left(peer: Peer | None, cover: Cover | None, now: datetime) -> list[Network]:
    return _without(_passing(peer, now), cover)


def _without(networks: list[Network], cover: Cover | None) -> list[Network]:
    if cover is None:
        return networks
    return [network for network in networks if not cover.covers(network)]


def _elsewhere(
    read: Read, found: Sequence[tuple[Peer, list[Network], list[Network]]], touched: set[int]
) -> dict[str, Cover]:
    """By gateway, what other peers have of the prefixes that cover any of these."""
    wanted: dict[str, set[str]] = {}
    for peer, cut, let_in in found:
        names = wanted.setdefault(peer.gateway, set())
        for network in (*cut, *let_in):
            names.update(_wider(network))
    there: dict[str, list[Network]] = {}
    for gateway, names in wanted.items():
        for number, sources in peer_rows.passing_at(read.connection, gateway, read.now):
            if number not in touched:
                hits = (ip_network(source) for source in sources if source in names)
                there.setdefault(gateway, []).extend(hits)
    return {gateway: Cover(networks) for gateway, networks in there.items()}


def _wider(network: Network) -> Iterable[str]:
    """It and all sources that cover it, as text: so each of a million is one look."""
    for length in range(SHORTEST_SOURCE[network.version], network.prefixlen + 1):
        yield _one(network.supernet(new_prefix=length))


def _one(network: Network) -> str:
    whole = network.prefixlen == network.max_prefixlen
    return str(network.network_address if whole else network)


def _text(networks: list[Network]) -> tuple[str, ...]:
    return tuple(map(_one, networks))
