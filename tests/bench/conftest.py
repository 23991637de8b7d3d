"""The programs, and small maps, that the tests of the bench run in."""

from collections.abc import Iterator

import pytest

from bench import programs, site
from bench.mode import Mode
from bench.population import Population, populate
from bench.programs import Programs
from bench.site import Router


@pytest.fixture(scope="session")
def loaded() -> Iterator[Programs]:
    with programs.loaded() as made:
        yield made


@pytest.fixture
def people() -> Population:
    return populate(4, 200)


@pytest.fixture
def filled(people: Population) -> Iterator[Router]:
    with site.router(people) as made:
        yield made


@pytest.fixture
def mode() -> Mode:
    """As little as can be measured."""
    return Mode(
        name="test",
        lookup_sizes=(200,),
        rounds=2,
        timed_ns=1_000_000,
        loads=1,
        changes=5,
        flood_sizes=((4, 200),),
        flood_rounds=2,
        flood_packets=2_000,
        load_limit=10.0,
        propagation_sizes=(20,),
        propagation_changes=2,
        change_limit=60.0,
        start_limit=60.0,
    )
