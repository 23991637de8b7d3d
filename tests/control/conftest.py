"""One edge router per test, or a bpf filesystem alone."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.pins import ensure_bpffs
from control.program import program
from lab.topology import Topology
from tests.control.edge import MNT_DETACH, Edge


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
