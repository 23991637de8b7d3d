"""Who stays in the table of strangers, with what is known of them."""

import numpy as np
import pytest

from control import doorkeeper, strangers
from control.columns import Rows
from control.doorkeeper import KEPT_FOR, Doorkeeper
from control.samples import SAMPLE
from control.strangers import ALTOGETHER, KEPT_FOR_NS, MINUTE_NS, PER_GATEWAY, Strangers

SECOND_NS = 10**9
START = 1_800_000_000 * SECOND_NS


def of(sources: "list[int] | Rows", gateway: int = 1, port: int = 51820) -> Rows:
    """Samples of IPv6 sources by number."""
    rows = np.zeros(len(sources), SAMPLE)
    rows["number"][:, 0] = 0x20010DB8 << 32
    rows["number"][:, 1] = sources
    rows["gateway"], rows["port"] = gateway, port
    rows["protocol"], rows["version"] = 17, 6
    return rows


def add(table: Strangers, samples: Rows, now: int = START, weight: float = 1.0) -> None:
    table.add(samples, np.full(len(samples), weight), now)


def numbers(rows: Rows) -> set[int]:
    return set(rows["number"][:, 1].tolist())


def test_what_is_known_of_one() -> None:
    table = Strangers()
    add(table, of([7, 7, 8]), START, 10)
    add(table, of([7]), START + SECOND_NS, 5)
    dropped = of([7])
    dropped["dropped"] = 1
    add(table, dropped, START + MINUTE_NS, 1)
    row, other = table.take()
    assert row["number"].tolist() == [0x20010DB8 << 32, 7]
    assert (row["first"], row["last"]) == (START, START + MINUTE_NS)
    assert (row["packets"], row["samples"], row["minutes"], row["dropped"]) == (26, 4, 2, True)
    assert (other["packets"], other["samples"], other["minutes"], other["dropped"]) == (
        *(10, 1, 1),
        False,
    )


def test_gateway_service_and_family_are_part_of_a_stranger() -> None:
    table = Strangers()
    four, fragment = of([7]), of([7], port=0)
    four["version"], four["number"][:, 0] = 4, 0
    for samples in (of([7]), of([7], gateway=2), of([7], port=500), four, fragment):
        add(table, samples)
    assert len(table.take()) == 5


def test_each_sample_is_told_of_once() -> None:
    table = Strangers()
    add(table, of([7, 8]))
    assert len(table.take()) == 2
    assert len(table.take()) == 0
    add(table, of([7]), START + 2 * MINUTE_NS)
    (row,) = table.take()
    assert (row["first"], row["packets"], row["minutes"]) == (START + 2 * MINUTE_NS, 1, 1)
    (seven, eight) = table.since_start()
    assert (seven["first"], seven["packets"], seven["minutes"]) == (START, 2, 2)
    assert eight["packets"] == 1


def test_who_is_long_gone_makes_room_once_told_of() -> None:
    table = Strangers()
    add(table, of([7]))
    table.forget(START + KEPT_FOR_NS + 1)
    assert numbers(table.rows) == {7}
    table.take()
    table.forget(START + KEPT_FOR_NS)
    assert numbers(table.rows) == {7}
    table.forget(START + KEPT_FOR_NS + 1)
    assert numbers(table.rows) == set()
    add(table, of([7]), START + 2 * KEPT_FOR_NS)
    assert table.rows["all_minutes"].tolist() == [2]


def crowded() -> Strangers:
    """All rows of gateway 1 taken, by sources of one packet each."""
    table = Strangers()
    add(table, of(np.arange(10**6, 10**6 + PER_GATEWAY)), START - SECOND_NS)
    assert len(table.rows) == PER_GATEWAY
    return table


def test_in_a_crowd_newcomers_of_one_packet_find_no_place() -> None:
    table = crowded()
    held = numbers(table.rows)
    add(table, of(np.arange(2 * 10**6, 2 * 10**6 + 50_000)), START + SECOND_NS)
    assert numbers(table.rows) == held
    add(table, of([1], gateway=2), START + SECOND_NS)
    assert len(table.rows) == len(held) + 1


def test_in_a_crowd_the_heavy_find_their_place_at_once() -> None:
    table = crowded()
    add(table, of([1, 1, 2]), START + SECOND_NS)
    assert 1 in numbers(table.rows)
    assert 2 not in numbers(table.rows)


def test_in_a_crowd_the_persistent_find_their_place_in_their_second_minute() -> None:
    table = crowded()
    add(table, of([1]), START)
    add(table, of([1]), START + SECOND_NS)
    assert 1 not in numbers(table.rows)
    add(table, of([1]), START + MINUTE_NS)
    assert 1 in numbers(table.rows)
    (row,) = table.rows[table.rows["number"][:, 1] == 1]
    assert (row["all_minutes"], row["minutes"], row["samples"]) == (2, 1, 1)


@pytest.mark.parametrize("heavy", [PER_GATEWAY // 2, PER_GATEWAY])
def test_half_of_the_rows_are_for_each(heavy: int) -> None:
    """So many heavy ones come where all rows are of persistent ones."""
    table = Strangers()
    persistent, heavy_ones = np.arange(PER_GATEWAY), np.arange(heavy) + 10**6
    for minute in range(3):
        add(table, of(persistent), START + minute * MINUTE_NS)
    for second in range(10):
        now = START + 3 * MINUTE_NS + second * SECOND_NS
        add(table, of(np.repeat(heavy_ones, 3)), now)
    add(table, of(np.arange(10_000) + 2 * 10**6), now)
    assert len(numbers(table.rows) & set(persistent.tolist())) == PER_GATEWAY // 2
    assert len(numbers(table.rows) & set(heavy_ones.tolist())) == PER_GATEWAY // 2


def test_altogether_there_is_a_bound_too_and_all_gateways_share() -> None:
    table = Strangers()
    for gateway in range(1, 65):
        add(table, of(np.arange(2_000), gateway), START + gateway)
        assert len(table.rows) <= ALTOGETHER
    assert len(table.rows) == ALTOGETHER
    each = np.bincount(table.rows["gateway"])[1:]
    assert each.min() >= ALTOGETHER // 64 - 1


def test_the_doorkeeper_knows_who_came_in_an_earlier_minute() -> None:
    keeper = Doorkeeper()
    one, two = np.array([11], np.uint64), np.array([22], np.uint64)
    keeper.send_away(one, 100)
    assert not keeper.knows(one, 100).any()
    assert keeper.knows(np.concatenate([two, one]), 101).tolist() == [False, True]
    keeper.send_away(two, 101 + KEPT_FOR)
    assert keeper.knows(one, 102 + KEPT_FOR).all()
    keeper.send_away(two, 103 + 2 * KEPT_FOR)
    assert not keeper.knows(one, 104 + 2 * KEPT_FOR).any()
    assert keeper.knows(two, 104 + 2 * KEPT_FOR).all()


def test_the_doorkeeper_knows_the_last_ones_of_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorkeeper, "MOST", 1000)
    keeper = Doorkeeper()
    for step in range(200):
        keeper.send_away(np.arange(step * 100, step * 100 + 100, dtype=np.uint64), step // 30)
        held = len(keeper._newer) + len(keeper._older) + sum(map(len, keeper._this_minute))
        assert held <= 2 * 1000 + 1000
    assert keeper.knows(np.arange(19_000, 20_000, dtype=np.uint64), 7).all()
    assert not keeper.knows(np.arange(10_000, dtype=np.uint64), 7).any()


def test_among_millions_the_persistent_and_the_heavy_surface() -> None:
    """2,000,000 sources of one packet each in ten minutes, 50 slow ones and 20 heavy ones.

    One packet in six is sampled, so 333,000 of them are: about as many as on two CPUs in a flood.
    """
    random = np.random.default_rng(6)
    slow, heavy = np.arange(1, 51), np.arange(101, 121)
    table, sampled = Strangers(), np.zeros(200, np.int64)
    in_minutes: dict[int, set[int]] = {n: set() for n in range(200)}
    next_random, one_in, seconds = 1000, 6, 600
    estimates, totals = np.zeros(200), np.zeros(200)
    for second in range(seconds):
        now = START + second * SECOND_NS
        randoms = np.arange(next_random, next_random + 2_000_000 // seconds)
        next_random += len(randoms)
        # A slow one sends a packet every five seconds, a heavy one twenty a second.
        knocking = slow[(slow + second) % 5 == 0]
        sent = np.concatenate([randoms, knocking, np.repeat(heavy, 20)])
        known = sent[sent < 200]
        totals += np.bincount(known, minlength=200)
        chosen = sent[random.random(len(sent)) < 1 / one_in]
        add(table, of(random.permutation(chosen)), now, len(sent) / len(chosen))
        sampled += np.bincount(chosen[chosen < 200], minlength=200)
        for number in set(chosen[chosen < 200].tolist()):
            in_minutes[number].add(now // MINUTE_NS)
        assert len(table.rows) <= PER_GATEWAY
        if second % 60 == 59:
            told = table.take()
            ours = told[told["number"][:, 1] < 200]
            np.add.at(estimates, ours["number"][:, 1].astype(int), ours["packets"])
    last = numbers(told)
    assert all(len(in_minutes[n]) >= 2 for n in slow.tolist())
    assert set(slow.tolist()) | set(heavy.tolist()) <= last | numbers(table.rows)
    # They are the first ones of whoever reads the list.
    first = numbers(table.since_start()[:70])
    assert first == set(slow.tolist()) | set(heavy.tolist())
    # Within four standard errors of n samples, of which the first may have got no row.
    for number in (*slow, *heavy):
        error = 4 / sampled[number] ** 0.5 + 1 / sampled[number]
        assert abs(estimates[number] / totals[number] - 1) < error, number


def test_the_table_is_as_large_as_said() -> None:
    assert ALTOGETHER * strangers.STRANGER.itemsize <= 8 * 2**20
    assert 2 * doorkeeper.MOST * 8 == 2 * 2 * 2**20
