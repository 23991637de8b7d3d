"""One edge router per test, a bpf filesystem alone, or a data plane with small tables."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.dataplane import DataPlane
from control.model import Tables
from control.pins import ensure_bpffs
from control.plan import difference
from control.program import program
from lab.topology import Topology
from tests.control.edge import MNT_DETACH, Edge
from tests.control.planes import SIZES


@pytest.fixture
def edge(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Edge]:
    with Topology(f"{request.node.name[:20]}-{os.getpid()}") as net:
        made = Edge(tmp_path, net)
        try:
            yield made
        finally:
            net.router.close()
            made.close()


@pytest.fixture
def bpffs(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "bpf"
    ensure_bpffs(path)
    try:
        yield path
    finally:
        ctypes.CDLL(None).umount2(os.fsencode(path), MNT_DETACH)


@pytest.fixture
def compiled_anew() -> Iterator[None]:
    """The program is compiled again, for this test alone."""
    program.cache_clear()
    yield
    program.cache_clear()


@pytest.fixture(scope="module")
def loaded() -> Iterator[DataPlane]:
    with DataPlane.offline(SIZES) as plane:
        yield plane


@pytest.fixture
def plane(loaded: DataPlane) -> DataPlane:
    """With empty maps."""
    loaded.apply(difference(loaded.tables(), Tables()))
    return loaded
