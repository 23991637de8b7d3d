"""The command line as a person has it, and a registry behind it."""

import io
import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import uvicorn

from api.app import create_app
from api.bootstrap import init
from api.registry.core import Clock, utc_now
from api.settings import Settings
from cli.main import run
from lab.watch import wait_until


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401  # JSON of any shape
        """The one JSON document on stdout."""
        return json.loads(self.out)


Peergate = Callable[..., Outcome]


@dataclass(slots=True)
class MovedClock:
    """The machine's, as far ahead as a test wants it: no test waits for what it plans."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@dataclass(frozen=True, slots=True)
class Running:
    url: str
    token: str
    clock: MovedClock


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An empty registry's database, with its key beside it, and its first admin token."""
    file = tmp_path_factory.mktemp("initialised") / "registry.db"
    token = init(Settings(database_url=f"sqlite:///{file}")).token
    assert token is not None
    return file, token


@pytest.fixture
def registry(initialised: tuple[Path, str], tmp_path: Path) -> Iterator[Running]:
    """An empty registry on a free port of the loopback interface."""
    made, token = initialised
    file = tmp_path / "registry.db"
    for kind in (".db", ".key"):
        shutil.copy(made.with_suffix(kind), file.with_suffix(kind))
    clock = MovedClock()
    with serving(file, 0, clock) as url:
        yield Running(url, token, clock)


@contextmanager
def serving(database: Path, port: int, clock: Clock = utc_now) -> Iterator[str]:
    """The URL of a registry on a port of the loopback interface; 0 is a free one."""
    app = create_app(Settings(database_url=f"sqlite:///{database}"), clock=clock)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert wait_until(lambda: server.started, 10)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            app.state.let_go()
            thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def offline_peergate(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Peergate:
    """Runs a command line; nothing of this machine's settings is seen, and no registry named."""
    for name in ("PEERGATE_URL", "PEERGATE_TOKEN", "PEERGATE_CA_FILE", "PEERGATE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def peergate(*arguments: str | Path, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Outcome(code, out, err)

    return peergate


@pytest.fixture
def peergate(
    offline_peergate: Peergate, registry: Running, monkeypatch: pytest.MonkeyPatch
) -> Peergate:
    """Runs a command line as the registry's admin."""
    monkeypatch.setenv("PEERGATE_URL", registry.url)
    monkeypatch.setenv("PEERGATE_TOKEN", registry.token)
    return offline_peergate
