"""What every test may count on; where the machine lacks it, tests fail and say so."""

import gc
import os
import shutil
from collections.abc import Iterator

import pytest

from tests import postgresql


def pytest_sessionstart(session: pytest.Session) -> None:
    """One line that says what to do, in place of a hundred failures that do not."""
    if session.config.option.collectonly:
        return
    programs = ("clang", "wg", "openvpn", "chromium")
    missing = [name for name in programs if shutil.which(name) is None]
    missing += [name for name in ("initdb", "postgres") if postgresql.program(name) is None]
    if missing:
        raise pytest.UsageError(f"{', '.join(missing)} not found: run `make setup` first")
    if os.geteuid() != 0:
        raise pytest.UsageError("the tests load BPF programs and make namespaces: run them as root")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.Server]:
    """One for each worker; each test has a database of its own there."""
    with postgresql.running() as server:
        yield server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The demo's minutes first: else one worker does them alone at the end."""
    items.sort(key=lambda item: "tests/lab/" not in item.nodeid)


def pytest_collection_finish(session: pytest.Session) -> None:
    """All that was imported stays. Applications come and go by the thousand, and each full
    collection went through everything: a quarter of the processor's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
