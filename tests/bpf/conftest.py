"""One program for all tests of this directory, with private maps."""

from collections.abc import Iterator

import pytest

from control.dataplane import DataPlane
from control.model import Sizes
from tests.bpf.bench import Bench
from tests.bpf.site import SITE


@pytest.fixture(scope="session")
def program() -> Iterator[Bench]:
    with DataPlane.offline(Sizes(max_hosts=128, max_prefixes=128, max_gateways=32)) as plane:
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
