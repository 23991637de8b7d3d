"""Clients that are slow or send too much: real sockets on a real server."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import httpx
import pytest
import uvicorn

from api.app import create_app
from api.protocol import HEADER_BYTES, Protocol
from api.records import Role
from api.settings import Settings
from lab.watch import wait_until
from tests.api.bodies import gateway, peer
from tests.api.conftest import Seed, on_sqlite

pytestmark = on_sqlite


@contextmanager
def served(settings: Settings) -> Iterator[int]:
    """As `serve` does it."""
    app = create_app(settings)
    config = uvicorn.Config(
        app, http=Protocol, h11_max_incomplete_event_size=HEADER_BYTES, log_config=None
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert wait_until(lambda: server.started, 20)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            app.state.watch.close()
            thread.join(20)


@pytest.fixture
def port(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr("api.limits.PATIENCE", 0.5)
    monkeypatch.setattr("api.protocol.HEADER_SECONDS", 0.5)
    with served(settings) as port:
        yield port


def answered(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """The one answer, after which the connection is closed."""
    connection.settimeout(20)
    whole = b""
    while piece := connection.recv(65536):
        whole += piece
    head, _, body = whole.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return int(head.split()[1]), json.loads(body)


def admin(port: int, seed: Seed) -> httpx.Client:
    headers = {"Authorization": f"Bearer {seed.tokens[Role.ADMIN]}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20)


def head(seed: Seed, path: str, more: str = "") -> bytes:
    token = seed.tokens[Role.ADMIN]
    return (
        f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{more}\r\n".encode()
    )


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: a\r\n", b"GE"])
def test_headers_that_do_not_come(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(sent)
        status, body = answered(slow)
    assert (status, body["status"]) == (408, 408)


def test_headers_that_do_not_come_after_another_request(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        slow.settimeout(20)
        assert slow.recv(65536).startswith(b"HTTP/1.1 200")
        slow.sendall(b"GET /hea")
        assert answered(slow)[0] == 408


def test_headers_that_are_too_large(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as large:
        large.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Large: " + b"x" * (HEADER_BYTES + 1))
        status, body = answered(large)
    assert (status, body["status"]) == (431, 431)
    assert str(HEADER_BYTES) in str(body["detail"])


def test_what_is_no_http(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as odd:
        odd.sendall(b"\x16\x03\x01\x02\r\n\r\n")
        assert answered(odd)[0] == 400


@pytest.mark.parametrize("path", ["/v1/gateways", "/v1/peers/import"])
def test_a_body_that_does_not_come_holds_nobody_up(port: int, seed: Seed, path: str) -> None:
    with admin(port, seed) as client:
        assert client.post("/v1/gateways", json=gateway()).status_code == 201
        with socket.create_connection(("127.0.0.1", port)) as slow:
            more = "Content-Length: 1000\r\nContent-Type: application/json\r\n"
            slow.sendall(head(seed, path, more) + json.dumps(peer()).encode()[:100])
            # Others write meanwhile.
            assert client.post("/v1/peers", json=peer(name="quick")).status_code == 201
            status, body = answered(slow)
        assert (status, body["status"]) == (408, 408)
        assert [each["name"] for each in client.get("/v1/peers").json()["items"]] == ["quick"]


def test_a_body_that_breaks_off_is_not_taken(port: int, seed: Seed) -> None:
    """Whole lines, but not all of them: no last chunk."""
    line = json.dumps(peer()).encode() + b"\n"
    with admin(port, seed) as client:
        assert client.post("/v1/gateways", json=gateway()).status_code == 201
        with socket.create_connection(("127.0.0.1", port)) as gone:
            chunk = b"%x\r\n%s\r\n" % (len(line), line)
            gone.sendall(head(seed, "/v1/peers/import", "Transfer-Encoding: chunked\r\n") + chunk)
        # Both places for imports are free again.
        for name in "ab":
            done = client.post("/v1/peers/import", content=json.dumps(peer(name=name)))
            assert done.status_code == 200
        assert [each["name"] for each in client.get("/v1/peers").json()["items"]] == ["a", "b"]
