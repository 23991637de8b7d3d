"""Run by pytest in a virtual machine: the agent on an uplink of driver virtio_net.

The tests are those of tests/control, on other links.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from control import ethtool
from lab.topology import UPLINK
from tests.control.edge import Edge
from tests.control.test_agent_attach import (
    test_a_detached_program_is_attached_again as test_a_detached_program_is_attached_again,
)
from tests.control.test_agent_attach import (
    test_attached_as_asked_for_and_judging as test_attached_as_asked_for_and_judging,
)
from tests.control.test_agent_restart import run_through
from tests.vm.guest.cards import DRIVER, CardTopology


@pytest.fixture
def edge(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Edge]:
    with CardTopology(f"{request.node.name[:20]}-{os.getpid()}") as net:
        made = Edge(tmp_path, net)
        try:
            with net.router.entered():
                assert ethtool.driver(UPLINK) == DRIVER
            yield made
        finally:
            net.router.close()
            made.close()


def test_restart_under_a_flood_loses_nothing_and_lets_nobody_in(edge: Edge) -> None:
    edge.write_policy()
    run_through(edge, times=1)
