"""What samples weigh: all of them together as much as was counted."""

import numpy as np
import pytest

from control.columns import Rows
from control.samples import SAMPLE, Samples
from control.weights import Total, Weights


def samples(*of: tuple[int, int, int]) -> Samples:
    """Of (gateway, CPU, how many)."""
    gateways = [gateway for gateway, _, count in of for _ in range(count)]
    rows = np.zeros(len(gateways), SAMPLE)
    rows["gateway"] = gateways
    return Samples(rows, np.array([cpu for _, cpu, count in of for _ in range(count)], np.int64))


def counted(*packets: int) -> Rows:
    """Of each CPU."""
    return np.array(packets, np.int64)


def test_each_cpu_and_gateway_is_reckoned_by_itself() -> None:
    weights = Weights({1: counted(100, 7)}, 2)
    came = samples((1, 1, 2), (3, 0, 1), (1, 0, 4))
    weighed, totals = weights.weigh(came, {1: counted(500, 9), 3: counted(50, 0)})
    assert weighed.tolist() == [1, 1, 50, 100, 100, 100, 100]
    assert totals == {1: Total(402, 6), 3: Total(50, 1)}
    weighed, totals = weights.weigh(samples((1, 0, 1)), {1: counted(510, 9)})
    assert weighed.tolist() == [10]
    assert totals == {1: Total(10, 1)}


def test_a_sample_of_a_packet_not_yet_counted_weighs_one_and_counts_once() -> None:
    weights = Weights({}, 1)
    weighed, totals = weights.weigh(samples((1, 0, 3)), {1: counted(2)})
    assert (weighed.tolist(), totals) == ([1, 1, 1], {1: Total(3, 3)})
    assert weights.weigh(samples(), {1: counted(3)})[1] == {}
    weighed, totals = weights.weigh(samples((1, 0, 1)), {})  # whose counter was not read
    assert (weighed.tolist(), totals) == ([1], {1: Total(1, 1)})
    assert weights.weigh(samples((1, 0, 1)), {1: counted(6)})[1] == {1: Total(2, 1)}


def test_packets_without_a_sample_are_counted_and_are_nobodys() -> None:
    weights = Weights({}, 2)
    weighed, totals = weights.weigh(samples((1, 0, 2)), {1: counted(4, 30)})
    assert (weighed.tolist(), totals) == ([2, 2], {1: Total(34, 2)})
    assert weights.weigh(samples((1, 1, 1)), {1: counted(4, 31)})[0].tolist() == [1]


@pytest.mark.parametrize("seed", range(5))
def test_together_they_weigh_what_was_counted(seed: int) -> None:
    """Where every CPU has a sample, and whatever comes between counter and sample."""
    random = np.random.default_rng(seed)
    weights, true, reckoned, weight = Weights({}, 4), np.zeros((6, 4), np.int64), 0, 0.0
    for _ in range(200):
        sampled = random.integers(1, 5, (6, 4))
        late = random.integers(0, 3, (6, 4)).clip(0, sampled)
        true += sampled + random.integers(0, 1000, (6, 4)) * random.integers(0, 2, (6, 4))
        came = samples(*((g, c, int(sampled[g, c])) for g in range(6) for c in range(4)))
        weighed, totals = weights.weigh(came, {g: true[g] - late[g] for g in range(6)})
        assert weighed.min() >= 1
        weight += weighed.sum()
        reckoned += sum(total.packets for total in totals.values())
    assert weight == pytest.approx(reckoned)
    assert 0 <= true.sum() - reckoned <= late.sum()
