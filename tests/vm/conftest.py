"""Which kernels: `--kernels`, or all. One that cannot be fetched fails its tests."""

import shutil

import pytest

from tests.vm.kernels import SERIES, Kernel, kernel


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kernels", default=" ".join(SERIES), help="series, as in '6.1 7'")


def pytest_sessionstart(session: pytest.Session) -> None:
    if shutil.which("qemu-system-x86_64") is None and not session.config.option.collectonly:
        raise pytest.UsageError("qemu-system-x86_64 not found: run `./setup.sh vm` first")
    if not session.config.option.kernels.replace(",", " ").split():
        raise pytest.UsageError("--kernels names no kernel")  # no tests, which would be no failure


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "series" in metafunc.fixturenames:
        asked = metafunc.config.getoption("--kernels")
        names = asked.replace(",", " ").split()
        metafunc.parametrize("series", names, ids=[f"linux-{name}" for name in names])


@pytest.fixture
def booted(series: str) -> Kernel:
    """The kernel of the series, fetched."""
    return kernel(series)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that two workers end together; `timeout` says how long one may be."""
    items.sort(key=_patience, reverse=True)


def _patience(item: pytest.Item) -> float:
    mark = item.get_closest_marker("timeout")
    return 0.0 if mark is None else float(mark.args[0])
