"""The timetable in columns against one made prefix by prefix, whole and kept up with changes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_network

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from control.columns import SourceKey
from control.entries import Entries, Entry
from control.model import Allowlist, Gateway, Peer
from control.pairs import Pairs
from control.plan import layout, numbers_in, resolve
from control.registered import Registered
from control.resolve import Timetable, timetable
from policy.prefixes import Network
from policy.services import Service
from policy.window import Window

START = datetime(2026, 11, 23, tzinfo=UTC)
# West and east share an address, so that a group of both has the sources of both.
GATEWAYS = (
    Gateway("hub", (ip_network("198.51.100.1"),), (Service(47),), None),
    Gateway("west", (ip_network("198.51.100.2"),), (Service(47),), None),
    Gateway("east", (ip_network("198.51.100.2"),), (Service(50),), None),
)
LAYOUT = layout(GATEWAYS, {})


def at(hour: int) -> int:
    return Window(START + timedelta(hours=hour)).start_ns


# Made prefix by prefix

Spans = list[tuple[int, int]]


def plain_spans(peers: Iterable[Peer]) -> dict[SourceKey, tuple[int, Spans]]:
    """For each source its peer, and the windows of all that cover it, merged."""
    registered = [
        (number, source, peer)
        for peer in peers
        for number in LAYOUT.numbers[peer.gateway]
        for source in peer.sources
    ]
    found = {}
    for number, source, _ in registered:
        here = [(wide, peer) for at, wide, peer in registered if at == number]
        covering = [peer for wide, peer in here if is_in(source, wide)]
        lowest = min(peer.id for wide, peer in here if wide == source)
        spans: Spans = []
        for start, end in sorted((peer.valid.start_ns, peer.valid.end_ns) for peer in covering):
            if spans and start <= spans[-1][1]:
                spans[-1] = spans[-1][0], max(spans[-1][1], end)
            else:
                spans.append((start, end))
        found[number, source] = lowest, spans
    return found


def is_in(source: Network, wide: Network) -> bool:
    if isinstance(source, type(wide)):
        return source.subnet_of(wide)  # type: ignore[arg-type]  # both are of one family
    return False


def plain_entries(peers: Iterable[Peer], now: int) -> dict[SourceKey, Entry]:
    entries = {}
    for (number, source), (peer, spans) in plain_spans(peers).items():
        ended = min(sum(end <= now for _, end in spans), len(spans) - 1)
        entries[number, source] = Entry(peer, source.prefixlen, *spans[ended], ended=ended > 0)
    return entries


def plain_next_change(peers: Iterable[Peer], now: int) -> int | None:
    ends = (end for _, spans in plain_spans(peers).values() for _, end in spans[:-1])
    return min((end for end in ends if end > now), default=None)


# Few bits, so that prefixes nest, meet and repeat; in both halves of an IPv6 address.


def prefix(base: int, bits: int, length: int) -> Network:
    whole = 32 if base < 2**32 else 128
    shift = 60 if base & 1 else 0
    number = (base & ~1) + (bits << shift)
    cut = shift + 8 - length
    return ip_network((number >> cut << cut, whole - cut))


BASES = (
    int(IPv4Address("192.0.2.0")),
    int(IPv6Address("2001:db8::")),
    int(IPv6Address("2001:db8::")) | 1,  # bits on both sides of the 64th
)
prefixes = st.builds(prefix, st.sampled_from(BASES), st.integers(0, 255), st.integers(0, 8))
hours = st.none() | st.integers(0, 12)


@st.composite
def peers(draw: st.DrawFn, number: int) -> Peer:
    start, end = draw(hours), draw(hours)
    if start is not None and end is not None and start >= end:
        start, end = end, start + 1
    window = Window(*(None if h is None else START + timedelta(hours=h) for h in (start, end)))
    sources = tuple(draw(st.lists(prefixes, min_size=1, max_size=4)))
    gateway = draw(st.sampled_from([gateway.name for gateway in GATEWAYS]))
    return Peer(number, f"p{number}", gateway, "o", "c", "p", sources, window)


@st.composite
def allowlists(draw: st.DrawFn, most: int = 12) -> dict[int, Peer]:
    numbers = draw(st.lists(st.integers(1, most), unique=True, max_size=most))
    return {number: draw(peers(number)) for number in numbers}


@settings(max_examples=300, deadline=None)
@given(registered=allowlists(), hour=st.integers(-1, 14))
def test_columns_say_what_is_found_prefix_by_prefix(registered: dict[int, Peer], hour: int) -> None:
    known = tuple(registered.values())
    made = timetable(Pairs.of(known, LAYOUT.numbers))
    assert made.at(at(hour)) == Entries.of(plain_entries(known, at(hour)))
    assert made.next_change(at(hour)) == plain_next_change(known, at(hour))
    tables = resolve(Allowlist("test", 1, START, GATEWAYS, known), {}, at(hour))
    assert tables.entries == made.at(at(hour))
    assert set(numbers_in(tables)) == {"hub", "west", "east", "east\0west"}


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of some peers: another registration, or none."""

    peers: dict[int, Peer | None]


@st.composite
def changes(draw: st.DrawFn) -> Change:
    numbers = draw(st.lists(st.integers(1, 12), unique=True, min_size=1, max_size=3))
    return Change({n: draw(st.none() | peers(n)) for n in numbers})


def pairs(peers: Iterable[Peer | None]) -> Pairs:
    return Pairs.of((peer for peer in peers if peer is not None), LAYOUT.numbers)


class Kept:
    """Registrations kept up with changes, and what follows from them for the maps."""

    def __init__(self, known: dict[int, Peer], now: int) -> None:
        self.known: dict[int, Peer] = dict(known)
        self.registered = Registered(pairs(known.values()))
        times = timetable(self.registered.everything())
        self.entries, self.later = times.at(now), times.several()

    def change(self, change: Change, now: int) -> None:
        gone, come = pairs(map(self.known.get, change.peers)), pairs(change.peers.values())
        self.registered.change(gone, come)
        for number, peer in change.peers.items():
            self.known.pop(number, None)
            if peer is not None:
                self.known[number] = peer
        around = timetable(self.registered.around(np.union1d(gone.keys, come.keys)))
        keys = np.union1d(gone.keys, around.entries.keys_sorted)
        self.entries = merged(self.entries, keys, around.at(now))
        self.later = self.later.with_changes(keys, around.several())


def merged(entries: Entries, keys: np.ndarray, changed: Entries) -> Entries:
    where, known = entries.find(keys)
    stays = np.ones(len(entries), bool)
    stays[where[known]] = False
    return Entries(np.concatenate([entries.rows[stays], changed.rows]))


def spans_of(times: Timetable) -> Iterator[tuple[SourceKey, Spans]]:
    for key, first, last in zip(times.entries, times.first, times.first[1:], strict=False):
        spans = times.spans[first:last]
        yield key, list(zip(spans["start"].tolist(), spans["end"].tolist(), strict=True))


@settings(max_examples=200, deadline=None)
@given(first=allowlists(), made=st.lists(changes(), min_size=1, max_size=5), fold=st.integers(0, 5))
def test_kept_up_with_changes_it_is_what_it_is_made_anew(
    first: dict[int, Peer], made: list[Change], fold: int
) -> None:
    kept = Kept(first, at(5))
    for turn, change in enumerate(made):
        kept.change(change, at(5))
        if turn == fold:
            kept.registered.everything()
        anew = timetable(pairs(kept.known.values()))
        assert kept.entries == anew.at(at(5))
        assert dict(spans_of(kept.later)) == dict(spans_of(anew.several()))


@settings(max_examples=100, deadline=None)
@given(first=allowlists(), change=changes())
def test_a_change_taken_back_leaves_all_as_it_was(first: dict[int, Peer], change: Change) -> None:
    registered = Registered(pairs(first.values()))
    gone, come = pairs(map(first.get, change.peers)), pairs(change.peers.values())
    registered.change(gone, come)
    registered.change(come, gone)
    anew = timetable(pairs(first.values()))
    assert timetable(registered.everything()).at(at(5)) == anew.at(at(5))


def test_one_peer_changed_touches_what_it_covers_and_nothing_else() -> None:
    """To the last address inside."""
    last = "2001:db8::ffff:ffff:ffff:ffff"
    wide = Peer(1, "p1", "hub", "o", "c", "p", (ip_network("2001:db8::/64"),), Window())
    inside = replace(wide, id=2, sources=(ip_network(last),))
    beside = replace(wide, id=3, sources=(ip_network("2001:db8:0:1::/64"),))
    registered = Registered(pairs([wide, inside, beside]))
    for changed in (wide, inside):
        around = timetable(registered.around(pairs([changed]).keys)).entries
        assert [str(source) for _, source in around] == ["2001:db8::/64", f"{last}/128"]
