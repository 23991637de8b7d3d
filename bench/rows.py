"""Rows of build/bench.json: one shape for all figures that are ratios, and what they say."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of two costs that were measured in the same rounds."""

    median_ns: float  # of what was measured
    base_ns: float  # of what it is compared with
    ratio: float  # the median of the rounds' ratios
    spread: float  # the width of the middle half of them, as a part of the ratio


def ratio(measured: Sequence[float], base: Sequence[float]) -> Ratio:
    """Costs in ns by round. A round's ratio is of two figures taken right after each other."""
    if len(measured) != len(base) or not measured:
        raise ValueError(f"{len(measured)} rounds against {len(base)}")
    ratios = [one / other for one, other in zip(measured, base, strict=True)]
    middle = statistics.median(ratios)
    return Ratio(
        statistics.median(measured), statistics.median(base), middle, spread(ratios) / middle
    )


def spread(values: Sequence[float]) -> float:
    """The width of their middle half."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low


def percentile(values: Sequence[float], part: float) -> float:
    """The least value that `part` of 100 of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(part) // 100) - 1)]
