"""Arithmetic of the figures."""

import pytest

from bench.rows import percentile, ratio, spread


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    # The machine was twice as slow in the second round: it does not show.
    figures = ratio([30.0, 60.0, 33.0], [10.0, 20.0, 10.0])
    assert figures.ratio == 3.0
    assert (figures.median_ns, figures.base_ns) == (33.0, 10.0)
    assert figures.spread == pytest.approx(0.05)


@pytest.mark.parametrize(("measured", "base"), [([], []), ([1.0], [1.0, 2.0])])
def test_rounds_must_match(measured: list[float], base: list[float]) -> None:
    with pytest.raises(ValueError, match="rounds against"):
        ratio(measured, base)


def test_spread_is_the_middle_half() -> None:
    assert spread([1.0, 2.0, 3.0, 4.0, 100.0]) == 2.0
    assert spread([7.0]) == 0.0


@pytest.mark.parametrize(("part", "value"), [(50, 5.0), (90, 9.0), (99, 10.0), (100, 10.0)])
def test_percentile(part: int, value: float) -> None:
    assert percentile([float(n) for n in range(10, 0, -1)], part) == value
