"""An owner moves the sources of its own peer, within the bounds that an approver has set."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_network
from math import ceil

from api.errors import (
    ConflictError,
    NotFoundError,
    RefusedError,
    ThrottledError,
)
from api.records import Bounds, Origin, Peer, Point, Role, State, Token
from api.registry import peers, rules, tokens
from api.registry.core import Expected, Read, Write
from api.store import log
from policy.errors import Problem
from policy.prefixes import Cover, Network, is_routed
from policy.window import rfc3339

# Of what is beyond the bounds so much is told at once.
_TOLD = 3


def move(write: Write, number: int, expected: Expected, sources: Sequence[str]) -> Peer:
    """All its sources anew."""
    before, bounds = _movable(write, number)
    expected.check(before.version, f"peer {number}")
    wanted = peers.edited(write, before, {"sources": list(sources)}).sources
    return _moved(write, before, bounds, wanted)


def is_here(read: Read, number: int, origin: Origin) -> Peer | None:
    """The peer, if a call from there would change nothing."""
    peer, bounds = _movable(read, number)
    return peer if set(_here(peer, bounds, origin)[0]) == set(peer.sources) else None


def here(write: Write, number: int, origin: Origin) -> Peer:
    """The source that a call before gave the family of this address becomes the address.

    Before the first call that is a further source; where there is no room for one, it takes the
    place of the family's only one.
    """
    before, bounds = _movable(write, number)
    sources, given = _here(before, bounds, origin)
    return _moved(write, before, bounds, sources, given)


def issue_token(
    write: Write, number: int, name: str | None, expires: datetime | None
) -> tuple[Token, str]:
    """A token for this peer alone, and its text; the one before it ends.

    This one ends with the peer, or with its bounds. Raises RefusedError where bounds of before
    the four-eyes rule are too wide for it.
    """
    peer, bounds = _movable(write, number)
    rules.check_bounds(rules.current(write), bounds)
    tokens.end_of_peer(write, number)
    return tokens.issue(write, name or peer.name, Role.OWNER, expires, peer=number)


def revoke_token(write: Write, number: int) -> None:
    peers.get(write, number)
    if not tokens.end_of_peer(write, number):
        raise NotFoundError(f"peer {number} has no token")


def _movable(state: Read | Write, number: int) -> tuple[Peer, Bounds]:
    peer = peers.get(state, number)
    shown = peer.shown(state.now)
    if peer.state is not State.APPROVED or shown is State.EXPIRED:
        raise ConflictError(
            f"peer {number} is {shown}: sources are moved of one that is approved and has not "
            "ended",
            "wrong-state",
        )
    if peer.bounds is None:
        raise ConflictError(
            f"the sources of peer {number} are not its owner's to move: an approver sets bounds "
            "first",
            "no-bounds",
        )
    return peer, peer.bounds


def _here(peer: Peer, bounds: Bounds, origin: Origin) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All sources after a call from there, and those of them that such calls gave."""
    if origin.proxy:
        raise RefusedError(
            f"the call came from a proxy, {origin.address}, which did not say for whom: see to it "
            "that it sends X-Forwarded-For",
            "proxy",
        )
    version = origin.address.version
    length = 32 if version == 4 else bounds.here_ipv6_length
    network = ip_network(f"{origin.address}/{length}", strict=False)
    given = tuple(source for source in peer.here if source in peer.sources)
    ours = [source for source in given if ip_network(source).version == version]
    kept = [source for source in peer.sources if source not in ours]
    if Cover(map(ip_network, kept)).covers(network):
        return tuple(kept), tuple(s for s in given if s not in ours)
    if not ours and len(kept) >= bounds.sources:
        family = [source for source in kept if ip_network(source).version == version]
        if len(family) == 1:
            kept.remove(family[0])
    text = _text(network)
    return (*kept, text), (*(s for s in given if s not in ours), text)


def _text(network: Network) -> str:
    """As policies have it: a host without its length."""
    whole = network.prefixlen == network.max_prefixlen
    return str(network.network_address if whole else network)


def _moved(
    write: Write,
    before: Peer,
    bounds: Bounds,
    sources: tuple[str, ...],
    given: tuple[str, ...] | None = None,
) -> Peer:
    if set(sources) == set(before.sources):
        return before
    _check_bounds(before, bounds, sources, None if given is None else sources[-1])
    _check_interval(write, before, bounds)
    # A site that waited for a staged roll-out would be cut off meanwhile: where it is let in. One
    # that canaries alone have is no owner's to take past them.
    rollout = write.head.rollout
    if rollout is not None and not log.is_new(
        write.connection, Point(write.head.revision, rollout.released), before.id
    ):
        write.hurry()
    here = tuple(source for source in before.here if source in sources)
    after = replace(before, sources=sources, here=here if given is None else given, moved=write.now)
    return peers.save(write, before, after, peers.MOVE)


def _check_bounds(
    before: Peer, bounds: Bounds, sources: tuple[str, ...], called: str | None
) -> None:
    """What stands already may stay, however it came there. `called`: from where, if that is what
    is asked for."""
    problems = []
    if (over := len(sources) - bounds.sources) > 0:
        most = f"at most {bounds.sources} are the owner's to choose, so drop {over} first"
        asked = f"{len(sources)} sources" + (f" with {called}" if called else "")
        problems.append(Problem("sources", asked, most))
    within = Cover(map(ip_network, bounds.within))
    for index, source in enumerate(sources):
        if source not in before.sources and (rule := _broken(bounds, within, ip_network(source))):
            problems.append(Problem(f"sources[{index}]", source, rule))
    if problems:
        told = "; ".join(f"{each.value}: {each.rule}" for each in problems[:_TOLD])
        more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
        raise RefusedError(
            f"this is beyond the bounds of peer {before.id}: {told}{more}. An approver may set "
            f"others: peergate peer bounds {before.id}",
            "beyond-bounds",
            tuple(problems),
        )


def _broken(bounds: Bounds, within: Cover, network: Network) -> str | None:
    shortest = bounds.ipv4_length if network.version == 4 else bounds.ipv6_length
    if network.prefixlen < shortest:
        return f"an IPv{network.version} source of the owner's choice is /{shortest} or longer"
    if not is_routed(network):
        return "nobody on the internet has this address, so name the one that gateways see"
    if bounds.within and not within.covers(network):
        return f"a source of the owner's choice is within {', '.join(bounds.within)}"
    return None


def _check_interval(write: Write, before: Peer, bounds: Bounds) -> None:
    if before.moved is None:
        return
    until = before.moved + timedelta(seconds=bounds.interval_seconds)
    if until > write.now:
        seconds = ceil((until - write.now).total_seconds())
        last, again = _whole(before.moved), _whole(until + timedelta(microseconds=999_999))
        raise ThrottledError(
            f"the sources of peer {before.id} are moved every {bounds.interval_seconds} s at most, "
            f"and were at {last}: wait until {again}, {seconds} s from now, or have an approver "
            f"set a shorter time: peergate peer bounds {before.id}",
            seconds,
        )


def _whole(moment: datetime) -> str | None:
    return rfc3339(moment.replace(microsecond=0))
