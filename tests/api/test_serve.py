"""The service as a process: waits, wakes, and stops when it is told to."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from api.errors import SettingsError
from api.records import Role
from api.serve import _listen, serve
from api.settings import Settings
from tests.api.bodies import gateway, peer
from tests.api.conftest import Seed
from tests.api.process import DEADLINE, Process
from tests.ports import free_port


@contextmanager
def waiting(process: Process, after: int) -> Iterator[socket.socket]:
    """A connection whose request the service has read, and waits with the answer to."""
    port = int(process.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
        with process.client(Role.AGENT) as agent:
            token = agent.headers["Authorization"]
            connection.sendall(
                f"GET /v1/allowlist/changes?after={after}&wait=60 HTTP/1.1\r\n"
                f"Host: registry.test\r\nAuthorization: {token}\r\n\r\n".encode()
            )
            # The one event loop has seen the request above before this one.
            assert agent.get("/healthz").status_code == 200
        yield connection


def read_answer(connection: socket.socket) -> dict[str, Any]:
    response = HTTPResponse(connection)
    response.begin()
    assert response.status == 200
    found: dict[str, Any] = json.loads(response.read())
    return found


def established(process: Process) -> int:
    """Connections that the service holds open, as the kernel counts them."""
    port = int(process.url.rpartition(":")[2])
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "01" for row in rows)


def until_established(process: Process, count: int) -> None:
    end = time.monotonic() + DEADLINE
    while established(process) != count:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_write_wakes_everybody_who_waits(process: Process) -> None:
    with process.client(Role.ADMIN) as admin, ExitStack() as stack:
        admin.post("/v1/gateways", json=gateway())
        admin.post("/v1/peers", json=peer())
        connections = [stack.enter_context(waiting(process, 1)) for _ in range(8)]
        admin.post("/v1/peers/1/approve", headers={"If-Match": "*"})
        for connection in connections:
            assert list(read_answer(connection)["peers"]) == ["1"]


def test_time_is_up_with_nothing_new(process: Process) -> None:
    with process.client(Role.AGENT) as agent:
        found = agent.get("/v1/allowlist/changes", params={"after": 0, "wait": 0.2}).json()
    assert (found["after"], found["revision"], found["peers"]) == (0, 0, {})


@pytest.mark.parametrize("signal_sent", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_while_others_wait(process: Process, signal_sent: signal.Signals) -> None:
    with waiting(process, 0) as connection:
        os.kill(process.process.pid, signal_sent)
        # Without letting go the connection would be cut off after 10 s, with no answer.
        assert read_answer(connection)["revision"] == 0
        assert process.process.wait(timeout=DEADLINE) == 0


def test_a_signal_before_it_looks_for_signals_ends_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def signalled(server: uvicorn.Server, **_: object) -> None:
        signal.raise_signal(signal.SIGTERM)
        assert server.should_exit

    monkeypatch.setattr(uvicorn.Server, "run", signalled)
    serve(replace(settings, port=free_port()))


def test_whoever_hangs_up_is_let_go(process: Process) -> None:
    with waiting(process, 0):
        until_established(process, 1)
    until_established(process, 0)
    assert process.process.poll() is None


def test_what_was_answered_survives_a_kill(
    process: Process, settings: Settings, seed: Seed
) -> None:
    with process.client(Role.ADMIN) as admin:
        made = admin.post("/v1/gateways", json=gateway())
        process.process.kill()
        process.process.wait()
    again = Process(settings, seed.tokens)
    try:
        again.wait_until_ready()
        with again.client(Role.ADMIN) as admin:
            assert admin.get("/v1/gateways/hub").json() == made.json()
    finally:
        again.end()


def test_a_port_that_is_taken_is_said_to_be(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        wanted = Settings.from_environment(
            database=settings.database_url, key_file=settings.key_file, listen=place
        )
        with pytest.raises(SettingsError, match=f"{place}: cannot listen here"):
            serve(wanted)


def test_without_a_database_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="run `peergate api init`"):
        serve(Settings.from_environment(database=str(tmp_path / "none.db"), listen="127.0.0.1:0"))


def test_a_certificate_that_cannot_be_used_is_said_to_be(
    settings: Settings, tmp_path: Path
) -> None:
    wrong = tmp_path / "cert.pem"
    wrong.write_text("not a certificate")
    wanted = Settings.from_environment(
        database=settings.database_url,
        key_file=settings.key_file,
        listen="127.0.0.1:0",
        tls_cert=wrong,
        tls_key=wrong,
    )
    with pytest.raises(SettingsError, match="no usable certificate"):
        serve(wanted)


def test_an_answer_does_not_wait_for_acknowledgements() -> None:
    with _listen(Settings(port=0)) as listener:
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
