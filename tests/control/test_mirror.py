"""The tables of sources under changes, checked a part at a time while changes are made."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address
from random import Random

import numpy as np
import pytest
from scapy.layers.inet import GRE

from control import syscalls
from control.columns import SourceKey
from control.dataplane import DataPlane
from control.entries import Entries, Entry
from control.model import Difference, GatewayRow, Tables, Target
from control.plan import difference
from control.sizes import Sizes
from policy.prefixes import Address
from policy.services import Service
from policy.window import FOREVER_NS
from tests.bpf.frames import ether, ip
from tests.control.planes import rows_of

# More buckets of each class than are checked in one step; so few entries that some overflow.
WIDE = Sizes.room_for(65_536, 65_536, 4)
NARROW = Sizes.room_for(1024, 1024, 4)
FULL = 4096  # of NARROW: a thousand of each class


HUBS: dict[int, Address] = {4: ip_address("198.51.100.1"), 6: ip_address("2001:db8::1")}


@pytest.fixture(scope="module", params=[WIDE, NARROW], ids=["wide", "narrow"])
def loaded(request: pytest.FixtureRequest) -> Iterator[DataPlane]:
    with DataPlane.offline(request.param) as plane:
        targets = {hub: Target(((Service(47), 1),)) for hub in HUBS.values()}
        plane.apply(Difference(Tables({1: GatewayRow("hub", 0, FOREVER_NS)}, targets)))
        yield plane


@pytest.fixture
def plane(loaded: DataPlane) -> DataPlane:
    loaded.apply(difference(Tables(entries=loaded.held().entries), Tables()))
    return loaded


def source(number: int) -> SourceKey:
    """Of all four classes, in turn; none is near another, so that each is found by its own."""
    match number % 4:
        case 0:
            return 1, IPv4Network(0x0B000001 + (number << 16))
        case 1:
            return 1, IPv4Network((0x20000000 + (number << 16), 24))
        case 2:
            return 1, IPv6Network(0x20010DB8 + number << 96 | 1)
        case _:
            return 1, IPv6Network((0x20010DB8 + number << 96, 64))


def is_found(plane: DataPlane, number: int) -> bool:
    """Whether the live program finds it."""
    network = source(number)[1]
    packet = ip(str(network.network_address), str(HUBS[network.version])) / GRE()
    return plane.run(ether(packet)) == "pass"


def entries(held: dict[int, int]) -> Entries:
    """Numbers of sources with their peers."""
    keys = {number: source(number) for number in held}
    return Entries.of({keys[n]: Entry(peer, keys[n][1].prefixlen) for n, peer in held.items()})


def test_changes_between_the_steps_of_a_check(plane: DataPlane) -> None:
    """What is held is in the maps throughout, and nothing of it is taken for damage."""
    random, held = Random(7), dict.fromkeys(range(FULL - 100), 1)
    plane.apply(Difference(Tables(entries=entries(held))))
    steps: Iterator[int] = iter(())
    for _ in range(300):
        touched = random.sample(range(FULL), 5)
        before = {number: held[number] for number in touched if number in held}
        after = {n: random.randrange(1, 99) for n in touched if random.random() < 0.5}
        plane.apply(difference(Tables(entries=entries(before)), Tables(entries=entries(after))))
        held = {n: p for n, p in held.items() if n not in before} | after
        if (repaired := next(steps, None)) is None:
            steps = plane.check()
        assert not repaired
        assert all(is_found(plane, number) for number in after)
    sum(steps)
    assert all(is_found(plane, number) for number in random.sample(sorted(held), 200))
    assert plane.held().entries == entries(held)
    assert plane.tables().entries == entries(held)
    assert plane.find(entries(held).rows["key"]) == entries(held)
    assert sum(plane.counts()) == len(held)


def test_what_overflows_while_the_maps_are_checked_is_found(plane: DataPlane) -> None:
    """Behind the step that looks what stands in `overflow`, before those that write the filter."""
    plane.apply(Difference(Tables(entries=entries(dict.fromkeys(range(FULL - 400), 1)))))
    check = plane.check()
    assert [next(check) for _ in range(3)] == [0, 0, 0]
    come = range(FULL - 400, FULL - 100)
    plane.apply(Difference(Tables(entries=entries(dict.fromkeys(come, 1)))))
    assert sum(check) == 0
    assert all(is_found(plane, number) for number in come)


def test_overflowing_sources_are_held_found_and_repaired(plane: DataPlane) -> None:
    held = dict.fromkeys(range(FULL if plane.sizes == NARROW else 1), 1)
    plane.apply(Difference(Tables(entries=entries(held))))
    over = plane._tables["overflow"]
    rows = [bytes(value) for _, value in over.items()]
    assert bool(rows) == (plane.sizes == NARROW)
    assert plane.tables().entries == entries(held)
    if rows:
        over.delete([row[:24] for row in rows[:2]])
        over.write([(rows[2][:24], rows[2][:40] + b"\xff" * 8)])
        assert sum(plane.check()) == 3
    assert plane.tables().entries == entries(held)
    assert sum(plane.check()) == 0


def set_bits(plane: DataPlane) -> int:
    words = [rows_of(plane, "filter")["word"]]
    words += [rows_of(plane, name)["word"] for name in ("lengths4", "lengths6")]
    return sum(int(np.unpackbits(part.view(np.uint8)).sum()) for part in words)


@pytest.mark.parametrize("count", [100, FULL - 400])
def test_what_packets_need_not_look_at_any_more_goes_with_a_check(
    count: int, plane: DataPlane
) -> None:
    """Also where some that stay stand in `overflow`."""
    plane.apply(Difference(Tables(entries=entries(dict.fromkeys(range(count), 1)))))
    sum(plane.check())
    before = set_bits(plane)
    more = entries(dict.fromkeys(range(count, count + 300), 1))
    plane.apply(Difference(Tables(entries=more)))
    plane.apply(Difference(Tables(), Tables(entries=more)))
    assert set_bits(plane) > before
    assert sum(plane.check()) == 0
    assert set_bits(plane) == before


def test_another_process_takes_over_what_is_there(plane: DataPlane) -> None:
    """Stood in for by a second handle on the same maps."""
    held = {n: n + 1 for n in range(150)}
    plane.apply(Difference(Tables(entries=entries(held))))
    other = DataPlane.__new__(DataPlane)
    other.__dict__.update(plane.__dict__)
    other.adopted = True
    other._set_up_arrays()
    assert other.adopt() == 0
    assert other.held() == plane.tables()
    assert other.counts() == plane.counts()
    change = difference(Tables(entries=entries(held)), Tables(entries=entries({3: 7, 4: 5})))
    other.apply(change)
    assert other.tables().entries == entries({3: 7, 4: 5})
    assert sum(other.check()) == 0


def test_places_are_used_again_only_after_a_grace_period(
    plane: DataPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []
    wait = syscalls.grace_period

    def waited() -> None:
        waits.append(1)
        wait()

    monkeypatch.setattr(syscalls, "grace_period", waited)
    held = entries({0: 1})
    room = plane._sources._classes[0].room
    for peer in range(1, room + 2 if plane.sizes == NARROW else 2):
        plane.apply(Difference(Tables(entries=entries({0: peer}))))
        if waits:
            break
    assert bool(waits) == (plane.sizes == NARROW)
    assert plane.find(held.rows["key"]) == entries({0: peer})
