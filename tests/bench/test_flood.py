"""A small flood, against what needs no package; and filters that judge wrongly stop it."""

import numpy as np
import pytest

from bench import flood
from bench.lookup import WrongVerdictError
from bench.mode import Mode
from bench.population import Population
from bench.programs import Programs
from bench.receivers import Place
from bench.site import Router
from lab.netns import LabError


def lets_all_in(_place: Place, _people: Population) -> None:
    """No filter at all."""


def is_not_there(_place: Place, _people: Population) -> None:
    raise LabError("it is not installed")


def test_rows(mode: Mode, loaded: Programs, people: Population, filled: Router) -> None:
    others = {"absent": is_not_there}
    missing, *floors = flood.measure(mode, loaded, people, filled, others)
    assert missing == {
        "bench": "flood",
        "family": 4,
        "registered": 200,
        "against": "absent",
        "missing": "it is not installed",
    }
    assert [row["against"] for row in floors] == ["xdp-drop", "parse-drop"]
    for row in floors:
        assert (row["holds"], row["rounds"]) == (0, 2)
        assert isinstance(row["ratio"], float)


def test_a_filter_that_lets_strangers_in_is_noticed(
    mode: Mode, loaded: Programs, people: Population, filled: Router
) -> None:
    with pytest.raises(WrongVerdictError, match="open let in 20000 of 20000 packets unregistered"):
        list(flood.measure(mode, loaded, people, filled, {"open": lets_all_in}))


def test_a_filter_that_drops_somebody_registered_is_noticed(
    mode: Mode, loaded: Programs, people: Population, filled: Router
) -> None:
    filled.delete(filled.entries.only(np.array([0])))
    with pytest.raises(WrongVerdictError, match=r"peergate let in \d+ of 20000 packets registered"):
        list(flood.measure(mode, loaded, people, filled, {}))
