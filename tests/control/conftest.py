"""One edge router per test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.topology import Topology
from tests.control.edge import Edge


@pytest.fixture
def edge(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Edge]:
    with Topology(f"{request.node.name[:20]}-{os.getpid()}") as net:
        made = Edge(tmp_path, net)
        try:
            yield made
        finally:
            net.router.close()
            made.close()
