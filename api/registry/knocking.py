"""Strangers that a change would let in, or cut off."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from typing import Literal

from api.records import Peer
from api.registry.core import Read
from api.registry.filtering import Turn, Turns
from api.registry.spans import Passing
from api.store import gateways as gateway_rows
from api.store import knocks, sign_offs
from api.stranger_records import Stranger
from policy.prefixes import Address, Network
from policy.window import to_ns

# So many are looked at, of each gateway those that were seen last.
_LOOKED = 5_000

# What a stranger's packets are afterwards: a registered peer's, of nobody's concern, or dropped.
Becomes = Literal["registered", "passed", "dropped"]
# By gateway: sources that would be let in, and whose they are.
Gained = Mapping[str, Mapping[Network, Peer]]


@dataclass(frozen=True, slots=True)
class Knock:
    """One stranger; `peer` is the registration that lets it in."""

    stranger: Stranger
    becomes: Becomes
    peer: Peer | None
    signed_off: bool


@dataclass(frozen=True, slots=True)
class Knocks:
    """Those cut off first, then those seen last. Not `exact`: there are more, not looked at."""

    found: tuple[Knock, ...]
    exact: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """By gateway, what the peers that change let in before and afterwards, now or later; and the
    ids of these peers."""

    was: Mapping[str, Passing]
    will: Mapping[str, Passing]
    touched: frozenset[int]

    def has_now(self, stranger: Stranger, now: datetime) -> bool:
        """Whether one of them lets it in already."""
        was = self.was.get(stranger.gateway)
        spans = () if was is None else was.over(ip_network(stranger.source))
        return any(start <= to_ns(now) for start, _ in spans)

    def will_have(self, stranger: Stranger) -> bool:
        will = self.will.get(stranger.gateway)
        return will is not None and bool(will.over(ip_network(stranger.source)))


def of(
    read: Read, gained: Gained, turns: Turns, standing: Standing, only: Address | None
) -> Knocks:
    """`only` that address, if given."""
    ids = gateway_rows.ids(read.connection)
    looked: list[tuple[Stranger, Peer | None]] = []
    exact = True
    for name in sorted(ids.keys() & (gained.keys() | turns.turns.keys())):
        at = _at(read, ids[name], gained.get(name, {}), turns.turns.get(name), only)
        for each in at:
            if len(looked) == _LOOKED:
                exact = False
                break
            looked.append(each)
    return Knocks(tuple(_judged(read, looked, turns, standing)), exact)


def _at(
    read: Read,
    gateway: int,
    gained: Mapping[Network, Peer],
    turn: Turn | None,
    only: Address | None,
) -> Iterator[tuple[Stranger, Peer | None]]:
    turning = turn.closing | turn.opening if turn is not None else frozenset()
    first, last = only, only
    if only is None and not turning and gained:
        first = min((n.network_address for n in gained), key=_order)
        last = max((n.broadcast_address for n in gained), key=_order)
    elif not turning and not gained:
        return
    lengths = {
        version: sorted({n.prefixlen for n in gained if n.version == version}, reverse=True)
        for version in (4, 6)
    }
    for stranger in knocks.at(read.connection, gateway, first, last):
        source = stranger.source
        around = (ip_network((source, n), strict=False) for n in lengths[source.version])
        peer = next((gained[network] for network in around if network in gained), None)
        if peer is not None or stranger.service in turning:
            yield stranger, peer


def _judged(
    read: Read,
    looked: list[tuple[Stranger, Peer | None]],
    turns: Turns,
    standing: Standing,
) -> Iterator[Knock]:
    spots = [(stranger.gateway_id, stranger.source) for stranger, _ in looked]
    registered = knocks.registered(read.connection, spots, read.now)
    ignored = sign_offs.over(read.connection, spots, read.now)
    found = []
    for (stranger, peer), spot in zip(looked, spots, strict=True):
        if not standing.touched.issuperset(registered.get(spot, ())):
            continue
        turn = turns.turns.get(stranger.gateway)
        becomes = _becomes(stranger, turn, standing, read.now)
        if becomes is not None:
            by = peer if becomes == "registered" else None
            found.append(Knock(stranger, becomes, by, spot in ignored))
    found.sort(key=lambda knock: knock.stranger.last_seen, reverse=True)
    found.sort(key=lambda knock: knock.becomes != "dropped")
    yield from found


def _becomes(
    stranger: Stranger, turn: Turn | None, standing: Standing, now: datetime
) -> Becomes | None:
    registered = standing.has_now(stranger, now)
    if standing.will_have(stranger):
        return None if registered else "registered"
    if registered or turn is None:
        return None  # whose registration ends is told by the peer
    if stranger.service in turn.closing:
        return "dropped"
    return "passed" if stranger.service in turn.opening else None


def _order(address: Address) -> tuple[int, int]:
    return address.version, int(address)
