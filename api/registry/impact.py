"""What a change would do to sources: which are cut off or let in, and when they were seen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network

from api.records import Peer
from api.registry import knocking, sightings
from api.registry.core import Read
from api.registry.filtering import turns_of
from api.registry.foreseen import Foreseen, PeerChange, passing
from api.registry.knocking import Knock, Standing
from api.store import gateways as gateway_rows
from api.store import knocks
from policy.prefixes import Address, Cover, Network

# So many sources are looked for among all others; beyond it a preview would take too long.
LOOKED_FOR = 10_000


@dataclass(frozen=True, slots=True)
class Effect:
    """One peer's sources that pass now, or later, and would not; and the other way round."""

    peer: Peer
    cut: tuple[str, ...]
    let_in: tuple[str, ...]
    last_seen: datetime | None


@dataclass(frozen=True, slots=True)
class Impact:
    """Those cut off that were seen last come first; `cut_more` and `let_in_more` are peers that
    nobody looked at. Not `exact`: what another peer covers is not left out, or there are more
    strangers than were looked at."""

    effects: tuple[Effect, ...]
    cut_more: int
    let_in_more: int
    knocks: tuple[Knock, ...]
    unknown: tuple[str, ...]
    exact: bool


def of(read: Read, foreseen: Foreseen, owner_at: Address | None = None) -> Impact:
    """`owner_at`: an owner asks, from that address. Of others it is told nothing."""
    turns = turns_of(foreseen.gateways, read.now)
    changes = [change for change in foreseen.peers if _gateway(change) not in turns.gone]
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
    exact = count <= LOOKED_FOR and owner_at is None
    elsewhere = _elsewhere(read, found, touched) if exact else {}
    seen = sightings.last(read, [peer for peer, cut, _ in found if cut])
    effects = []
    gained: dict[str, dict[Network, Peer]] = {}
    for peer, cut, let_in in found:
        others = elsewhere.get(peer.gateway)
        cut, let_in = _without(cut, others), _without(let_in, others)
        if cut or let_in:
            last = seen.get(peer.id) if cut else None
            effects.append(Effect(peer, _text(cut), _text(let_in), last))
        gained.setdefault(peer.gateway, {}).update(dict.fromkeys(let_in, peer))
    effects.sort(key=_urgency, reverse=True)
    standing = Standing(will, frozenset(touched))
    strangers = knocking.of(read, gained, turns, standing, owner_at)
    return Impact(
        effects=tuple(effects),
        cut_more=foreseen.cut_more,
        let_in_more=foreseen.let_in_more,
        knocks=strangers.found,
        unknown=turns.unknown,
        exact=exact and foreseen.whole and strangers.exact,
    )


def _gateway(change: PeerChange) -> str:
    return next(peer.gateway for peer in change if peer is not None)


def _urgency(effect: Effect) -> tuple[bool, float]:
    seen = effect.last_seen
    return bool(effect.cut), 0.0 if seen is None else seen.timestamp()


def _passing(peer: Peer | None, now: datetime) -> list[Network]:
    return [ip_network(source) for source in passing(peer, now)]


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
    wanted: dict[str, list[Network]] = {}
    for peer, cut, let_in in found:
        wanted.setdefault(peer.gateway, []).extend((*cut, *let_in))
    ids = gateway_rows.ids(read.connection)
    return {
        name: Cover(
            network
            for number, network in knocks.holding(read.connection, ids[name], networks, read.now)
            if number not in touched
        )
        for name, networks in wanted.items()
        if name in ids
    }


def _one(network: Network) -> str:
    whole = network.prefixlen == network.max_prefixlen
    return str(network.network_address if whole else network)


def _text(networks: list[Network]) -> tuple[str, ...]:
    return tuple(map(_one, networks))
