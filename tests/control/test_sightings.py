"""Who was seen: what the maps say of it, and what of that is told."""

from pathlib import Path

import numpy as np

from control.dataplane import DataPlane
from control.entries import Entries
from control.model import Difference
from control.plan import difference
from control.sightings import AGAIN_AFTER, AT_ONCE, TICK_SHIFT, Seen, Sightings
from control.sizes import Sizes
from tests.bpf.frames import ether, ip, udp
from tests.control.planes import HUB, entry, host, prefix, rows_of, site

TICK_NS = 1 << TICK_SHIFT


def frame(number: int) -> bytes:
    return ether(ip(f"203.0.113.{number}", str(HUB)) / udp())


def seen(plane: DataPlane) -> dict[int, int]:
    found = plane.seen()
    return dict(zip(found.peers.tolist(), found.ticks.tolist(), strict=True))


def of(ticks: dict[int, int]) -> Seen:
    return Seen(np.array(list(ticks), np.uint32), np.array(list(ticks.values()), np.int64))


def told(sightings: Sightings) -> dict[int, int]:
    some = sightings.some()
    sightings.told(some)
    return dict(zip(some.peers.tolist(), some.ticks.tolist(), strict=True))


def test_who_sent_a_packet_is_seen_once(plane: DataPlane) -> None:
    tables = site(host(1), host(2))
    both = Entries.of({host(1): entry(host(1), 11), host(2): entry(host(2), 22)})
    plane.apply(Difference(type(tables)(tables.gateways, tables.targets, both)))
    plane.set_clock(0)
    plane.seen()
    tick = plane._now() >> TICK_SHIFT
    assert plane.run(frame(1)) == "pass"
    assert plane.run(frame(9)) == "drop"
    assert seen(plane) == {11: tick}
    assert plane.run(frame(1)) == "pass"
    assert seen(plane) == {}
    for later in (1, 2, 200, 460):
        plane.set_clock(later * TICK_NS)
        assert seen(plane) == {}
        assert plane.run(frame(1)) == "pass"
        assert plane.run(frame(2)) == "pass"
        assert seen(plane) == {11: tick + later, 22: tick + later}
    # What is asked for later was still seen then.
    plane.set_clock(461 * TICK_NS)
    assert plane.run(frame(2)) == "pass"
    plane.set_clock(500 * TICK_NS)
    assert seen(plane) == {22: tick + 461}


def test_who_comes_after_another_was_not_seen(plane: DataPlane) -> None:
    plane.apply(Difference(site(host(1))))
    plane.set_clock(0)
    assert plane.run(frame(1)) == "pass"
    assert list(seen(plane)) == [7]
    plane.apply(difference(site(host(1)), site(*(host(n) for n in range(2, 8)))))
    assert seen(plane) == {}


def test_who_comes_after_another_is_seen_in_the_same_tick(plane: DataPlane) -> None:
    """In the slot that another one, who was told of, has left."""
    plane.apply(Difference(site(host(1))))
    plane.set_clock(0)
    assert plane.run(frame(1)) == "pass"
    assert list(seen(plane)) == [7]
    plane.apply(difference(site(host(1)), site()))
    numbers = range(1, 9)
    tables = site(*map(host, numbers))
    rows = {host(n): entry(host(n), n) for n in numbers}
    plane.apply(Difference(type(tables)(tables.gateways, tables.targets, Entries.of(rows))))
    for number in numbers:
        assert plane.run(frame(number)) == "pass"
    assert set(seen(plane)) == set(numbers)


def test_those_that_found_no_slot_are_seen_too() -> None:
    """Small tables are so full that some are in `overflow`."""
    with DataPlane.offline(Sizes.room_for(250, 8, 4)) as plane:
        numbers = range(1, 250)
        tables = site(*(host(n) for n in numbers), prefix(1))
        rows = {host(n): entry(host(n), n) for n in numbers}
        plane.apply(Difference(type(tables)(tables.gateways, tables.targets, Entries.of(rows))))
        # One of them by hand, as the data plane would have it there.
        table = plane._sources._classes[0]
        one = table.find(Entries.of({host(7): rows[host(7)]}).rows["key"])
        table.delete(one["key"])
        bucket, _ = table._place(table._hash(one["key"]))
        assert not len(plane._sources._overflow.write(one))
        table._overflowed.store(bucket, np.uint8(1))
        plane.set_clock(0)
        for number in numbers:
            assert plane.run(frame(number)) == "pass"
        assert sorted(seen(plane)) == list(numbers)
        assert seen(plane) == {}


def test_maps_that_are_adopted_say_what_comes_from_then_on(bpffs: Path) -> None:
    sizes = Sizes.room_for(8, 8, 4)
    with DataPlane.pinned(bpffs, sizes) as before:
        before.apply(Difference(site(host(1), host(2))))
        before.set_clock(0)
        assert before.run(frame(1)) == "pass"
        stale = rows_of(before, "buckets")["seen"]
        assert stale.any()
    with DataPlane.pinned(bpffs, sizes) as plane:
        plane.adopt()
        # It may be of any round of the ticks.
        assert seen(plane) == {}
        assert plane.run(frame(2)) == "pass"
        assert list(seen(plane)) == [7]


def test_a_peer_is_told_of_again_some_ticks_later_alone() -> None:
    sightings = Sightings()
    sightings.add(of({1: 100, 2: 100}))
    sightings.add(of({2: 101, 3: 101}))
    assert told(sightings) == {1: 100, 2: 101, 3: 101}
    assert told(sightings) == {}
    sightings.add(of({1: 100 + AGAIN_AFTER - 1, 2: 101 + AGAIN_AFTER}))
    assert told(sightings) == {2: 101 + AGAIN_AFTER}
    sightings.add(of({1: 100 + AGAIN_AFTER}))
    assert told(sightings) == {1: 100 + AGAIN_AFTER}


def test_many_are_told_of_in_turns_and_what_was_not_taken_stays() -> None:
    many = 2 * AT_ONCE + 5
    sightings = Sightings()
    sightings.add(of({number: number % 3 for number in range(1, many + 1)}))
    first = sightings.some()
    assert len(first.peers) == AT_ONCE
    assert (sightings.some().peers == first.peers).all()
    body = first.body()
    assert [len(each["peers"]) for each in body] == [6666, 6667, 6667]  # type: ignore[arg-type]
    assert body[1]["at"] == "1970-01-01T00:18:19.511627Z"
    sizes = [len(told(sightings)) for _ in range(4)]
    assert sizes == [AT_ONCE, AT_ONCE, 5, 0]
