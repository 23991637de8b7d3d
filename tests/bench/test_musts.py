"""A must is held, missed, or was not measured."""

import pytest

from bench import mode
from bench.musts import MUSTS, Must, judge
from bench.rows import Row


def outcomes(*rows: Row) -> list[str]:
    return [one.outcome for one in judge(rows) if one.value is not None]


def lookup(ratio: float, registered: int = 1_000_000) -> Row:
    return {
        "bench": "lookup",
        "family": 4,
        "registered": registered,
        "traffic": "bystander",
        "ratio": ratio,
    }


def test_what_was_not_measured_is_named() -> None:
    said = list(judge([]))
    assert {one.outcome for one in said} == {"not measured"}
    assert len(said) == len(MUSTS)
    assert "lookup, IPv4, 1,000,000, bystander: ratio <= 1.2" in str(said[0])


@pytest.mark.parametrize(("ratio", "outcome"), [(1.2, "held"), (1.21, "missed")])
def test_at_most(ratio: float, outcome: str) -> None:
    assert outcomes(lookup(ratio)) == [outcome]


def test_other_sizes_do_not_count() -> None:
    assert outcomes(lookup(9.0, registered=100_000)) == []


@pytest.mark.parametrize(("ratio", "outcome"), [(40.0, "held"), (39.9, "missed")])
def test_at_least(ratio: float, outcome: str) -> None:
    row: Row = {"bench": "flood", "family": 4, "registered": 1_000_000, "against": "nft-interval"}
    assert outcomes({**row, "ratio": ratio}) == [outcome]
    assert outcomes({**row, "missing": "not loaded"}) == []


def test_the_worst_row_counts() -> None:
    rows: list[Row] = [
        {"bench": "propagation", "family": 4, "registered": 1_000_000, "p99_ms": ms}
        for ms in (20.0, 130.0)
    ]
    assert outcomes(*rows) == ["missed"]


def test_a_must_reads_as_what_it_asks() -> None:
    assert str(Must({"bench": "load", "registered": 1_000}, "seconds", 2)) == (
        "load, 1,000: seconds <= 2"
    )


def test_modes() -> None:
    assert mode.chosen({}).name == "full"
    assert mode.chosen({"BENCH": "quick"}).name == "quick"
    with pytest.raises(ValueError, match="full, quick"):
        mode.chosen({"BENCH": "fast"})
