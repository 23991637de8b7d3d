"""What is written is found: whatever else is in the tables, and while they change."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import control.sources
from control import syscalls
from control.arrays import Mirror, open_array
from control.buckets import Buckets
from control.columns import SourceKey
from control.dataplane import DataPlane
from control.entries import Entries, Entry
from control.guard import Guard
from control.model import Difference, GatewayRow, Tables, Target
from control.plan import difference
from control.sizes import Need, Sizes
from policy.prefixes import Address, Network
from policy.services import Service
from policy.window import FOREVER_NS
from tests.bpf.frames import ether, ip, udp

# Few buckets, so that most are full, and much stands in the overflow.
CROWDED = Sizes.room_for(64, 64, 4)
WIREGUARD = Service(17, 51820)
HUBS: dict[int, tuple[Address, Address]] = {
    number: (IPv4Address(f"198.51.100.{number}"), IPv6Address(f"2001:db8:ffff::{number}"))
    for number in (1, 2)
}
GUARDED = Tables(
    {number: GatewayRow(f"g{number}", 0, FOREVER_NS) for number in HUBS},
    {hub: Target(((WIREGUARD, number),)) for number, hubs in HUBS.items() for hub in hubs},
)


def network(version: int, number: int, length: int) -> Network:
    """Inside 198.18.0.0/15 or 2001:db8::/32 where the length allows: near the others."""
    if version == 4:
        number = 0xC6120000 | number & 0x1FFFF
        return IPv4Network((number >> (32 - length) << (32 - length), length))
    number = 0x20010DB8 << 96 | number & (1 << 96) - 1
    return IPv6Network((number >> (128 - length) << (128 - length), length))


# Numbers of few set bits are near each other, at every length.
numbers = st.lists(st.integers(0, 95), max_size=3).map(lambda bits: sum({1 << bit for bit in bits}))
sources: st.SearchStrategy[SourceKey] = st.tuples(
    st.sampled_from([1, 2]),
    st.one_of(
        st.builds(network, st.just(4), numbers, st.sampled_from([8, 15, 16, 17, 24, 31, 32, 32])),
        st.builds(
            network,
            st.just(6),
            numbers,
            st.sampled_from([16, 31, 32, 33, 48, 63, 64, 65, 127, 128, 128]),
        ),
    ),
)


@pytest.fixture(scope="module")
def plane() -> Iterator[DataPlane]:
    with DataPlane.offline(CROWDED) as made:
        yield made


def longest(held: dict[SourceKey, Entry], gateway: int, source: Address) -> Entry | None:
    covering = [key for key in held if key[0] == gateway and source in key[1]]
    return held[max(covering, key=lambda key: key[1].prefixlen)] if covering else None


def frame(gateway: int, source: Address) -> bytes:
    hub = HUBS[gateway][source.version == 6]
    return ether(ip(str(source), str(hub)) / udp())


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.lists(sources, max_size=40, unique=True), st.lists(sources, max_size=20, unique=True)
        ),
        min_size=1,
        max_size=4,
    ),
    asked=st.lists(st.tuples(st.sampled_from([1, 2]), numbers), max_size=12),
)
def test_the_longest_prefix_is_found_whatever_was_written_before(
    plane: DataPlane,
    steps: list[tuple[list[SourceKey], list[SourceKey]]],
    asked: list[tuple[int, int]],
) -> None:
    plane.apply(difference(plane.held(), GUARDED))
    held: dict[SourceKey, Entry] = {}
    for number, (come, go) in enumerate(steps):
        before = Entries.of(held)
        held = {key: entry for key, entry in held.items() if key not in go}
        held |= {
            key: Entry(100 * number + place + 1, key[1].prefixlen) for place, key in enumerate(come)
        }
        change = difference(Tables(entries=before), Tables(entries=Entries.of(held)))
        plane.apply(change)
        assert plane.tables().entries == Entries.of(held)
    addresses: list[tuple[int, Address]] = [(key[0], key[1][-1]) for key in held]
    addresses += [(key[0], key[1][0]) for _, gone in steps for key in gone]
    for version, size in ((4, 32), (6, 128)):
        addresses += [(gateway, network(version, number, size)[0]) for gateway, number in asked]
    for gateway, source in addresses:
        said = plane.explain(frame(gateway, source), 1)
        assert said.entry == longest(held, gateway, source), (gateway, source)
        assert plane.run(frame(gateway, source)) == ("pass" if said.entry else "drop")


# By the length of its prefix, whether who is registered there may pass now.
nested = st.dictionaries(st.sampled_from([8, 14, 16, 24, 28, 31, 32]), st.booleans())


def around(version: int, registered: dict[int, bool]) -> Entries:
    """Prefixes around one source: each passes as long as a peer of it or of a wider one may."""
    source, longer = (KEPT[0], 0) if version == 4 else (KEPT[1], 96)
    found: dict[SourceKey, Entry] = {}
    for length in registered:
        passes = any(valid for wider, valid in registered.items() if wider <= length)
        bits = length + longer if length > 16 else 2 * length if longer else length
        around = ip_network((source, bits), strict=False)
        found[1, around] = Entry(length, bits, 0, FOREVER_NS if passes else 5)
    return Entries.of(found)


@settings(max_examples=60, deadline=None)
@given(version=st.sampled_from([4, 6]), registered=st.lists(nested, min_size=2, max_size=4))
def test_who_is_registered_before_and_after_passes_meanwhile(
    plane: DataPlane, version: int, registered: list[dict[int, bool]]
) -> None:
    """By whatever prefix it was, and by whatever prefix it will be."""
    plane.apply(difference(plane.held(), GUARDED))
    plane.set_clock(0)
    packet = frame(1, KEPT[version == 6])
    said, store = [], Mirror.store

    def watched(mirror: Mirror, *what: Any) -> None:  # noqa: ANN401  # as `store` takes it
        store(mirror, *what)
        said.append(plane.run(packet))

    before = Entries()
    for held in registered:
        after, was = around(version, held), plane.run(packet)
        said.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Mirror, "store", watched)
            plane.apply(difference(Tables(entries=before), Tables(entries=after)))
        before = after
        if was == plane.run(packet):
            assert set(said) <= {was}


def test_what_ends_waits_for_packets_that_looked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that found nothing longer yet, and those that saw what was guarded before."""
    # In tables of its own: what is retired in those of other tests would wait, too.
    with DataPlane.offline(Sizes.room_for(64, 64, 4)) as plane:
        plane.apply(difference(plane.held(), GUARDED))
        wide, ended = around(4, {24: True}), around(4, {24: False, 28: True})
        done: list[str] = []
        for owner, name in ((syscalls, "grace_period"), (Buckets, "write"), (Buckets, "delete")):
            monkeypatch.setattr(owner, name, noted(done, name, getattr(owner, name)))
        monkeypatch.setattr(Guard, "hold", noted(done, "hold", Guard.hold))
        plane.apply(Difference(Tables(entries=wide)))
        assert done == ["write"]
        plane.apply(difference(Tables(entries=wide), Tables(entries=ended)))
        assert done[1:] == ["write", "grace_period", "write"]
        unguarded = Difference(Tables(), Tables(GUARDED.gateways, GUARDED.targets, ended))
        plane.apply(unguarded)
        assert done[4:] == ["grace_period", "hold", *["grace_period", "delete"] * 2]


def noted(done: list[str], name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def noting(*what: Any) -> Any:  # noqa: ANN401  # as it is called
        result = call(*what)
        done.append(name)
        return result

    return noting


def churn(version: int, chance: random.Random) -> SourceKey:
    """Any source but those of `KEPT`, `KEPT_WITHIN` and `STRANGERS`, and what covers them."""
    length = chance.choice([24, 28, 32] if version == 4 else [48, 64, 128])
    found = network(version, chance.getrandbits(96) | 1 << 15 | 1 << 90, length)
    return chance.choice([1, 2]), found


KEPT: tuple[Address, Address] = IPv4Address("198.18.0.7"), IPv6Address("2001:db8::7")
# Who is registered by one of these alone, shorter and longer ones than those that come and go.
KEPT_WITHIN: dict[Address, Network] = {
    IPv4Address("198.18.0.21"): IPv4Network("198.18.0.20/31"),
    IPv4Address("198.19.0.5"): IPv4Network("198.19.0.0/17"),
    IPv6Address("2001:db8::21"): IPv6Network("2001:db8::20/127"),
    IPv6Address("2001:db8:8000::5"): IPv6Network("2001:db8:8000::/33"),
}
STRANGERS: tuple[Address, Address] = IPv4Address("198.18.0.8"), IPv6Address("2001:db8::8")
ROUNDS = 400
RUNS_AT_ONCE = 2_000


def test_nobody_notices_what_is_added_removed_and_grown(bpffs: Path) -> None:
    """Registered at gateway 1, with new windows, pass; strangers at gateway 2 are dropped."""
    chance = random.Random(7)
    planes = [DataPlane.pinned(bpffs, Sizes.room_for(64, 64, 4))]
    kept = Entries.of(kept_until(FOREVER_NS))
    planes[0].apply(Difference(write=Tables(*guarded(), kept)))
    registered = [frame(1, source) for source in (*KEPT, *KEPT_WITHIN)]
    strangers = [frame(2, stranger) for stranger in STRANGERS]
    ended = Event()

    def send() -> int:
        """By the program in force, which is replaced meanwhile; how many of each."""
        sent = 0
        while not ended.is_set():
            fd = planes[-1].program_fd
            for each in (*registered, *strangers):
                syscalls.time_run(fd, each, RUNS_AT_ONCE)
            sent += RUNS_AT_ONCE
        return sent

    try:
        with ThreadPoolExecutor() as pool:
            sending = pool.submit(send)
            try:
                change_without_end(planes, chance)
            finally:
                ended.set()
            sent = sending.result()
        counts = planes[-1].counters()
        assert sent > 10 * RUNS_AT_ONCE
        assert counts[1]["registered_pass"].packets == sent * len(registered)
        assert counts[2]["unregistered_drop"].packets == sent * len(strangers)
        others = [n.packets for number in HUBS for n in counts[number].values()]
        assert sum(others) == sent * len(registered + strangers)
    finally:
        for each in planes:
            each.close()


def guarded() -> tuple[dict[int, GatewayRow], dict[Address, Target]]:
    return dict(GUARDED.gateways), dict(GUARDED.targets)


def kept_until(end: int) -> dict[SourceKey, Entry]:
    networks: list[Network] = [IPv4Network(KEPT[0]), IPv6Network(KEPT[1]), *KEPT_WITHIN.values()]
    return {(1, each): Entry(1, each.prefixlen, 0, end) for each in networks}


def change_without_end(planes: list[DataPlane], chance: random.Random) -> None:
    """Rounds of additions, removals and checks; every so often larger tables, old ones kept."""
    kept = held = kept_until(FOREVER_NS)
    for number in range(ROUNDS):
        before = held
        gone = set(chance.sample(sorted(held, key=str), len(held) // 3)) - kept.keys()
        held = {key: entry for key, entry in before.items() if key not in gone}
        for _ in range(30):
            key = churn(chance.choice([4, 6]), chance)
            until = chance.choice([5, FOREVER_NS])
            held[key] = Entry(chance.getrandbits(31), key[1].prefixlen, 0, until)
        held |= kept_until(FOREVER_NS - 2**46 * chance.randrange(9))
        entries = Entries.of(before), Entries.of(held)
        change = difference(Tables(entries=entries[0]), Tables(entries=entries[1]))
        for plane in planes[-2:]:
            plane.apply(change)
        if number % 10 == 0:
            sum(planes[-1].check())
        if number % 100 == 99:
            hosts4, prefixes4, hosts6, prefixes6 = (4 << bits for bits in planes[-1].sizes.bits)
            need = Need((hosts4, prefixes4, hosts6, prefixes6), 4, 4)
            larger = planes[-1].larger(planes[-1].sizes.grown(need))
            larger.apply(Difference(write=planes[-1].held()))
            larger.put_in_place()
            planes.append(larger)


@pytest.mark.parametrize("count", [3, 7, 14, 100, 112])
def test_all_that_a_table_holds_may_change_at_once(count: int) -> None:
    keys = [(1, network(4, number, 32)) for number in range(count)]
    sizes = Sizes().grown(Need((count, 0, 0, 0), 4, 2))
    with DataPlane.offline(sizes) as plane:
        plane.apply(Difference(write=GUARDED))
        for end in (7, 8, FOREVER_NS):
            wanted = Entries.of({key: Entry(end % 9, 32, 0, end) for key in keys})
            plane.apply(difference(Tables(entries=plane.held().entries), Tables(entries=wanted)))
            assert plane.tables().entries == wanted


def test_adopting_takes_nothing_away_from_packets(
    bpffs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even for a moment: no bit that sends packets on, of any class, no slot."""
    chance = random.Random(3)
    keys = {churn(version, chance) for version in (4, 6) for _ in range(150)}
    entries = Entries.of({key: Entry(1, key[1].prefixlen) for key in keys})
    names = ("filter", "lengths4", "lengths6", "buckets")
    with DataPlane.pinned(bpffs, Sizes.room_for(128, 128, 4)) as before:
        before.apply(Difference(write=Tables(*guarded(), entries)))
        maps = {name: before._tables[name] for name in names}
        arrays = [open_array(name, m.fd, m.value, m.max_entries).rows for name, m in maps.items()]
        words = [rows.view(np.uint64) for rows in arrays]
        had = [rows.copy() for rows in words]
        store = Mirror.store

        def watched(mirror: Mirror, *what: Any) -> None:  # noqa: ANN401  # as `store` takes it
            store(mirror, *what)
            assert all(((now & then) == then).all() for now, then in zip(words, had, strict=True))

        monkeypatch.setattr(Mirror, "store", watched)
        # As of large tables, a part at a time.
        monkeypatch.setattr(control.sources, "_A_STEP", 16)
        with DataPlane.current(bpffs) as after:
            after.adopt()
            assert after.held().entries == entries
