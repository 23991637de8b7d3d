"""One program for all tests of this directory, with private maps."""

from collections.abc import Iterator

import pytest

from control.dataplane import DataPlane
from control.sizes import Sizes
from tests.bpf.bench import Bench
from tests.bpf.site import SITE


@pytest.fixture(scope="session")
def program() -> Iterator[Bench]:
    with DataPlane.offline(Sizes.room_for(128, 128, 32)) as plane:
        yield Bench(plane)


@pytest.fixture
def bench(program: Bench) -> Bench:
    """The program with the registrations of tests/bpf/site.py."""
    program.hold(SITE)
    return program


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def family(request: pytest.FixtureRequest) -> int:
    version: int = request.param
    return version
