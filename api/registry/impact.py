"""What a change would do to sources: which are cut off or let in, and when they were seen."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_network

from api.records import Peer
from api.registry import knocking, sightings
from api.registry.core import Read
from api.registry.filtering import turns_of
from api.registry.foreseen import Foreseen, PeerChange, passing, span_of
from api.registry.knocking import Knock, Standing
from api.registry.spans import Passing, Span, ahead, less
from api.store import gateways as gateway_rows
from api.store import knocks
from policy.prefixes import Address, Network
from policy.window import from_ns, to_ns

# A source, and a time of it.
Piece = tuple[Network, Span]
# From when until when in nanoseconds since 1970-01-01 UTC; None is at once, and for good.
_Times = tuple[int | None, int | None]
# So many sources are looked for among all others; beyond it a preview would take too long.
LOOKED_FOR = 10_000


@dataclass(frozen=True, slots=True)
class Effect:
    """What one peer's sources lose or gain at one time: they pass, and would not; or the other way
    round. It begins at once without `begins`; where what is cut off passes again, that `ends` it.
    """

    peer: Peer
    cut: tuple[str, ...]
    let_in: tuple[str, ...]
    begins: datetime | None
    ends: datetime | None
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


@dataclass(frozen=True, slots=True)
class _Found:
    """What a change of one peer takes of its sources, and what it adds."""

    peer: Peer
    before: Peer | None
    after: Peer | None
    cut: list[Piece]
    let_in: list[Piece]

    def effects(self, now: datetime, seen: datetime | None) -> list[Effect]:
        """One for each time at which something begins, and ends."""
        had, at = span_of(self.before, now), to_ns(now)
        cut: dict[_Times, list[Network]] = {}
        let_in: dict[_Times, list[Network]] = {}
        for network, (start, end) in self.cut:
            # Where the registration ended then anyhow, nothing passes again.
            back = None if had is None or end == had[1] else end
            cut.setdefault((start if start > at else None, back), []).append(network)
        for network, (start, _) in self.let_in:
            let_in.setdefault((start if start > at else None, None), []).append(network)
        return [
            Effect(
                peer=self.peer,
                cut=_text(cut.get(times, [])),
                let_in=_text(let_in.get(times, [])),
                begins=None if times[0] is None else from_ns(times[0]),
                ends=None if times[1] is None else from_ns(times[1]),
                last_seen=seen if times in cut else None,
            )
            for times in dict.fromkeys((*cut, *let_in))
        ]

    def fresh(self, now: datetime) -> Iterator[Network]:
        """Let in from the beginning: what only goes on for longer is no stranger's."""
        span = span_of(self.after, now)
        return (network for network, piece in self.let_in if span and piece[0] == span[0])


def of(read: Read, foreseen: Foreseen, owner_at: Address | None = None) -> Impact:
    """`owner_at`: an owner asks, from that address. Of others it is told nothing."""
    turns = turns_of(foreseen.gateways, read.now)
    changes = [change for change in foreseen.peers if _gateway(change) not in turns.gone]
    touched = {each.id for change in changes for each in change if each is not None and each.id}
    touched |= foreseen.apart
    was = _passing(read, (before for before, _ in changes))
    will = _passing(read, (after for _, after in changes))
    found = []
    for before, after in changes:
        peer = after or before
        assert peer is not None
        cut = _without(_pieces(before, read.now), will.get(peer.gateway))
        let_in = _without(_pieces(after, read.now), was.get(peer.gateway))
        if cut or let_in:
            found.append(_Found(peer, before, after, cut, let_in))
    count = sum(len(each.cut) + len(each.let_in) for each in found)
    exact = count <= LOOKED_FOR and owner_at is None
    elsewhere = _elsewhere(read, found, touched) if exact else {}
    seen = sightings.last(read, [each.peer for each in found if each.cut])
    effects: list[Effect] = []
    gained: dict[str, dict[Network, Peer]] = {}
    for each in found:
        others = elsewhere.get(each.peer.gateway)
        each = replace(each, cut=_without(each.cut, others), let_in=_without(each.let_in, others))
        effects += each.effects(read.now, seen.get(each.peer.id))
        gained.setdefault(each.peer.gateway, {}).update(
            dict.fromkeys(each.fresh(read.now), each.peer)
        )
    effects.sort(key=_urgency, reverse=True)
    standing = Standing(was, will, frozenset(touched))
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


def _urgency(effect: Effect) -> tuple[bool, bool, float]:
    seen = effect.last_seen
    return bool(effect.cut), effect.begins is None, 0.0 if seen is None else seen.timestamp()


def _pieces(peer: Peer | None, now: datetime) -> Iterable[Piece]:
    return ((ip_network(source), span) for source, span in passing(peer, now).items())


def _passing(read: Read, some: Iterable[Peer | None]) -> Mapping[str, Passing]:
    """By gateway, what these alone let in."""
    by_gateway: dict[str, list[Piece]] = {}
    for peer in some:
        if peer is not None:
            by_gateway.setdefault(peer.gateway, []).extend(_pieces(peer, read.now))
    return {gateway: Passing(pieces) for gateway, pieces in by_gateway.items()}


def _without(pieces: Iterable[Piece], others: Passing | None) -> list[Piece]:
    if others is None:
        return list(pieces)
    return [
        (network, left) for network, span in pieces for left in less(span, others.over(network))
    ]


def _elsewhere(read: Read, found: Sequence[_Found], touched: set[int]) -> dict[str, Passing]:
    """By gateway, what other peers have of the prefixes that cover any of these."""
    wanted: dict[str, list[Network]] = {}
    for each in found:
        networks = (network for network, _ in (*each.cut, *each.let_in))
        wanted.setdefault(each.peer.gateway, []).extend(networks)
    ids = gateway_rows.ids(read.connection)
    return {
        name: Passing(
            (network, span)
            for number, network, window in knocks.holding(
                read.connection, ids[name], networks, read.now
            )
            if number not in touched and (span := ahead(window, read.now)) is not None
        )
        for name, networks in wanted.items()
        if name in ids
    }


def _one(network: Network) -> str:
    whole = network.prefixlen == network.max_prefixlen
    return str(network.network_address if whole else network)


def _text(networks: list[Network]) -> tuple[str, ...]:
    return tuple(map(_one, networks))
