"""Entries are counted by what they say of packets now."""

from collections import Counter
from ipaddress import IPv4Network, IPv6Network

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from control.dataplane import DataPlane
from control.entries import Entries, Entry
from control.plan import difference
from control.sizes import GATEWAYS_MAX
from control.tally import KINDS, SOON, STATES, Tally
from policy.window import FOREVER_NS
from tests.control.planes import host, prefix, site

NOW = 1_800_000_000 * 10**9
HOUR = 3600 * 10**9
TIMES = st.sampled_from(
    (0, 1, NOW - 1, NOW, NOW + 1, NOW + HOUR, NOW + 48 * HOUR, NOW + 500 * HOUR, FOREVER_NS)
)
SOURCES = st.sampled_from((IPv4Network("203.0.113.9"), IPv6Network("2001:db8::/64")))
ENTRIES = st.builds(
    Entry, st.just(7), st.just(32), valid_from=TIMES, valid_until=TIMES, ended=st.booleans()
)


def verdict(entry: Entry) -> str:
    """As bpf/peergate.c has it."""
    if entry.valid_from <= NOW < entry.valid_until:
        return "active"
    return "expired" if entry.ended or entry.valid_until <= NOW else "future"


@given(st.dictionaries(st.tuples(st.integers(1, GATEWAYS_MAX + 2), SOURCES), ENTRIES, max_size=40))
def test_as_one_would_count_them_one_by_one(
    found: dict[tuple[int, IPv4Network | IPv6Network], Entry],
) -> None:
    tally = Tally()
    rows = Entries.of(found).rows
    steps = list(tally.count((rows[:3], rows[3:]), NOW))
    assert len(steps) == 2
    own = {key: entry for key, entry in found.items() if key[0] <= GATEWAYS_MAX}
    kinds = {4: "host", 6: "prefix"}
    wanted = Counter((kinds[key[1].version], verdict(entry)) for key, entry in own.items())
    assert tally.entries == {
        (kind, state): wanted[kind, state] for kind in KINDS for state in STATES
    }
    left = [e.valid_until - NOW for e in own.values() if verdict(e) == "active"]
    assert tally.expiring == {
        name: sum(each <= seconds * 10**9 for each in left) for name, seconds in SOON.items()
    }


def test_all_that_the_maps_hold(plane: DataPlane) -> None:
    sources = [host(1), host(2), prefix(1)]
    plane.apply(difference(plane.tables(), site(*sources)))
    tally = Tally()
    for _ in tally.count(plane.in_parts(), NOW):
        pass
    assert tally.entries["host", "active"] == 2
    assert tally.entries["prefix", "active"] == 1
    assert sum(tally.entries.values()) == 3
    assert np.concatenate([*plane.in_parts()]).size == 3
