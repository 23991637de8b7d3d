"""The resolved tables against a naive model that asks every peer in turn."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from hypothesis import example, given, settings
from hypothesis import strategies as st

from control.entries import Entry
from control.model import Allowlist, Gateway, Peer, Tables
from control.pairs import Pairs
from control.plan import numbers_in, resolve
from control.resolve import Timetable
from control.resolve import timetable as resolved
from policy.prefixes import Address, Network
from policy.window import Window

START = datetime(2026, 11, 23, tzinfo=UTC)
HUB = Gateway("hub", (ip_network("198.51.100.1"),), (), None)
SPOKE = Gateway("spoke", (ip_network("198.51.100.2"),), (), None)


def at(hour: int) -> int:
    return Window(START + timedelta(hours=hour)).start_ns


def peer(
    number: int, source: str, start: int | None = None, end: int | None = None, gateway: str = "hub"
) -> Peer:
    """A peer of one source, its window in hours from START."""
    hours = [None if hour is None else START + timedelta(hours=hour) for hour in (start, end)]
    return Peer(number, f"p{number}", gateway, "o", "c", "p", (ip_network(source),), Window(*hours))


def allowlist(*peers: Peer, revision: int = 1) -> Allowlist:
    return Allowlist("test", revision, START, (HUB, SPOKE), peers)


def timetable(peers: list[Peer]) -> Timetable:
    return resolved(Pairs.of(peers, {"hub": (1,), "spoke": (2,)}))


# The naive model


def naive_verdict(peers: list[Peer], gateway: str, source: Address, now: int) -> str:
    ended = False
    for one in peers:
        if one.gateway == gateway and any(source in network for network in one.sources):
            if one.valid.start_ns <= now < one.valid.end_ns:
                return "registered"
            ended = ended or one.valid.end_ns <= now
    return "expired" if ended else "unregistered"


def naive_peer(peers: list[Peer], gateway: str, source: Address) -> int | None:
    covering = [
        (-network.prefixlen, one.id)
        for one in peers
        if one.gateway == gateway
        for network in one.sources
        if source in network
    ]
    return min(covering)[1] if covering else None


# What the kernel does with the tables


def longest_match(tables: Tables, number: int, source: Address) -> Entry | None:
    matches = [
        (network.prefixlen, entry)
        for (gateway, network), entry in tables.entries.items()
        if gateway == number and source in network
    ]
    return max(matches, key=lambda match: match[0])[1] if matches else None


def kernel_verdict(entry: Entry | None, now: int) -> str:
    if entry is None:
        return "unregistered"
    if now >= entry.valid_until:
        return "expired"
    if now >= entry.valid_from:
        return "registered"
    return "expired" if entry.ended else "unregistered"


# Few bits, so that prefixes nest, meet and repeat.


def prefix(version: int, bits: int, length: int) -> Network:
    if version == 4:
        base, size = int(IPv4Address("192.0.2.0")), 32
        return ip_network((base | bits, size)).supernet(new_prefix=size - 8 + length)
    base, size = int(IPv6Address("2001:db8::")), 128
    return ip_network((base | bits, size)).supernet(new_prefix=size - 8 + length)


prefixes = st.builds(prefix, st.sampled_from([4, 6]), st.integers(0, 255), st.integers(0, 8))
hours = st.none() | st.integers(0, 12)


@st.composite
def peers(draw: st.DrawFn) -> list[Peer]:
    made = []
    for number in draw(st.permutations(range(1, draw(st.integers(1, 9)) + 1))):
        start, end = draw(hours), draw(hours)
        if start is not None and end is not None and start >= end:
            start, end = end, start + 1
        window = Window(
            None if start is None else START + timedelta(hours=start),
            None if end is None else START + timedelta(hours=end),
        )
        sources = tuple(draw(st.lists(prefixes, min_size=1, max_size=3)))
        gateway = draw(st.sampled_from(["hub", "hub", "spoke"]))
        made.append(Peer(number, f"p{number}", gateway, "o", "c", "p", sources, window))
    return made


@dataclass(frozen=True, slots=True)
class Revocation:
    hour: int
    peer: int


revocations = st.lists(st.builds(Revocation, st.integers(0, 12), st.integers(1, 9)), max_size=3)


@settings(max_examples=400, deadline=None)
@given(
    registered=peers(),
    revoked=revocations,
    asked=st.lists(st.tuples(st.integers(0, 255), st.integers(-1, 27)), min_size=1, max_size=20),
)
@example(  # an expired /32 inside a valid /24
    registered=[peer(1, "192.0.2.0/24"), peer(2, "192.0.2.7/32", 0, 1)],
    revoked=[],
    asked=[(7, 4)],
)
@example(  # one of two that share a prefix is revoked
    registered=[peer(1, "192.0.2.0/28"), peer(2, "192.0.2.0/28", 0, 6)],
    revoked=[Revocation(2, 1)],
    asked=[(3, 3), (3, 7), (3, 14)],
)
@example(  # disjoint windows: in the gap it has expired, then it passes again
    registered=[peer(1, "192.0.2.0/28", 1, 2), peer(2, "192.0.2.0/24", 4, 5)],
    revoked=[],
    asked=[(3, 1), (3, 2), (3, 5), (3, 6), (3, 8), (3, 9), (3, 10)],
)
def test_the_tables_say_what_every_peer_asked_in_turn_says(
    registered: list[Peer], revoked: list[Revocation], asked: list[tuple[int, int]]
) -> None:
    """The agent resolves anew on each revocation and whenever `next_change` says so, else never."""
    half_hour = (at(1) - at(0)) // 2
    current = list(registered)
    start = at(0) - 2 * half_hour
    tables = resolve(allowlist(*current), {}, start)
    numbers = numbers_in(tables)
    change = timetable(current).next_change(start)
    for now in range(start, at(14), half_hour):
        due = change is not None and change <= now
        for revocation in revoked:
            if at(revocation.hour) == now:
                current = [one for one in current if one.id != revocation.peer]
                due = True
        if due:
            tables = resolve(allowlist(*current), numbers, now)
            change = timetable(current).next_change(now)
        for bits, half in asked:
            if now != at(0) + half * half_hour:
                continue
            for source in (
                ip_address(int(IPv4Address("192.0.2.0")) | bits),
                ip_address(int(IPv6Address("2001:db8::")) | bits),
            ):
                for gateway in ("hub", "spoke"):
                    entry = longest_match(tables, numbers[gateway], source)
                    said = kernel_verdict(entry, now)
                    assert said == naive_verdict(current, gateway, source, now)
                    named = naive_peer(current, gateway, source)
                    assert (None if entry is None else entry.peer) == named


def entry_of(source: str, now: int, *registered: Peer) -> Entry:
    tables = resolve(allowlist(*registered), {}, now)
    return tables.entries[1, ip_network(source)]


def test_windows_that_touch_or_overlap_are_one() -> None:
    registered = (peer(1, "192.0.2.0/24", 1, 3), peer(2, "192.0.2.7/32", 3, 5))
    entry = entry_of("192.0.2.7/32", at(0), *registered, peer(3, "192.0.2.0/28", 4, 9))
    assert (entry.valid_from, entry.valid_until, entry.ended) == (at(1), at(9), False)


def test_the_named_peer_is_the_lowest_id_of_the_prefix_itself() -> None:
    registered = (peer(9, "192.0.2.7/32", 5, 6), peer(4, "192.0.2.7/32"), peer(1, "192.0.2.0/24"))
    entry = entry_of("192.0.2.7/32", at(0), *registered)
    assert (entry.peer, entry.prefix_length) == (4, 32)


def test_where_all_have_ended_the_last_one_stays() -> None:
    registered = (peer(1, "192.0.2.7/32", 0, 1), peer(2, "192.0.2.7/32", 3, 4))
    entry = entry_of("192.0.2.7/32", at(9), *registered)
    assert (entry.valid_from, entry.valid_until) == (at(3), at(4))
    assert timetable(list(registered)).next_change(at(9)) is None


def test_gateways_do_not_see_each_others_peers() -> None:
    spoke = peer(1, "192.0.2.0/24", gateway="spoke")
    entry = entry_of("192.0.2.7/32", at(2), spoke, peer(2, "192.0.2.7/32", 0, 1))
    assert entry.valid_until == at(1)


def test_the_same_prefix_of_both_families_is_apart() -> None:
    """192.0.2.0/24 and the IPv6 prefix of the same bits are not each other's."""
    same_bits = f"{IPv6Address(int(IPv4Address('192.0.2.0')))}/120"
    registered = (peer(1, "192.0.2.0/24"), peer(2, same_bits, 0, 1))
    assert entry_of(same_bits, at(0), *registered).valid_until == at(1)
