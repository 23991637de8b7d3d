"""Rows of one small measurement; and wrong verdicts stop it before anything is timed."""

import numpy as np
import pytest

from bench import lookup, maps, population, site
from bench.lookup import WrongVerdictError
from bench.mode import Mode
from bench.population import Population
from bench.programs import Programs
from bench.site import Router

SHAPE = {
    "bench": str,
    "family": int,
    "registered": int,
    "traffic": str,
    "median_ns": float,
    "parse_and_drop_ns": float,
    "empty_ns": float,
    "ratio": float,
    "spread": float,
    "rounds": int,
}


@pytest.mark.parametrize("family", [4, 6])
def test_rows(family: int, mode: Mode, loaded: Programs) -> None:
    people = population.populate(family, 200)
    with site.router(people) as filled:
        rows = list(lookup.measure(mode, loaded, people, filled))
    assert [row["traffic"] for row in rows] == [*lookup.TRAFFIC, *lookup.STAGES]
    assert {row["bench"] for row in rows[-2:]} == {"stage"}
    for row in rows[-2:]:
        row["bench"] = "lookup"
    for row in rows:
        assert {name: type(value) for name, value in row.items()} == SHAPE
        assert (row["bench"], row["family"], row["registered"]) == ("lookup", family, 200)
        assert float(str(row["median_ns"])) > 0


def test_a_registration_that_is_not_in_the_maps_is_noticed(
    people: Population, filled: Router, loaded: Programs
) -> None:
    case = lookup.prepare(loaded, people, "registered")
    lookup.check(loaded, case, filled)
    filled.delete(filled.entries.only(np.array([0])))
    with pytest.raises(WrongVerdictError, match="unregistered_drop"):
        lookup.check(loaded, case, filled)


def test_a_stranger_in_the_maps_is_noticed(filled: Router, loaded: Programs) -> None:
    fewer = population.populate(4, 100)  # others than those in the maps
    case = lookup.prepare(loaded, fewer, "registered")
    with pytest.raises(WrongVerdictError, match="packets registered"):
        lookup.check(loaded, case, filled)


def test_rows_of_the_tables(mode: Mode, people: Population, filled: Router) -> None:
    rows = list(maps.measure(mode, people, filled))
    assert [row["bench"] for row in rows] == ["load", "change", "change", "memory"]
    assert [row.get("change") for row in rows[1:3]] == ["delete", "write"]
    assert all((row["family"], row["registered"]) == (4, 200) for row in rows)
    # What was deleted is there again.
    assert len(filled.plane.tables().entries) == len(people)
