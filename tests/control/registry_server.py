"""A registry of a few lines: HTTP as the contract says, with what the test puts into it."""

import base64
import hashlib
import json
import socket
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control.word import Word
from tests.control.edge import gateway

TOKEN = "pg_test_token"
ONE = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"


class Key:
    """A registry's key, and what signed the one before it."""

    def __init__(self, before: "Key | None" = None, until: str = "2999-01-01T00:00:00Z") -> None:
        self._private = Ed25519PrivateKey.generate()
        self.public = base64.b64encode(self._private.public_key().public_bytes_raw()).decode()
        self.endorsements: list[dict[str, str]] = []
        if before is not None:
            said = json.dumps({"key": self.public, "by": before.public, "until": until})
            signature = before.sign(f"peergate endorsement 1\n{said}")
            new = {"statement": said, "signature": signature}
            self.endorsements = [*before.endorsements, new]

    def sign(self, text: str) -> str:
        return base64.b64encode(self._private.sign(text.encode())).decode()

    def headers(self, statement: Mapping[str, Any]) -> dict[str, str]:
        text = json.dumps(statement)
        signature = self.sign(f"peergate statement 1\n{text}")
        return {"Peergate-Statement": text, "Peergate-Signature": f"{self.public} {signature}"}


# Of every registry here, so that one may go and come back.
FIRST_KEY = Key()


class Registry:
    """One registry's state, and what routers reported. `change` wakes those who wait."""

    def __init__(self, listening: socket.socket) -> None:
        self.id = ONE
        self.revision = 0
        self.floor = 0
        self.gateways: dict[str, dict[str, Any]] = {}
        self.peers: dict[int, dict[str, Any]] = {}
        self.touched: dict[tuple[str, Any], int] = {}
        self.reports: list[dict[str, Any]] = []
        self.seen: list[dict[str, Any]] = []
        self.strangers: list[dict[str, Any]] = []
        self.refuses_strangers = 0  # with this status
        self.refused_strangers: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.raw: bytes | None = None  # answered in place of any allowlist
        self.key = FIRST_KEY
        self.said: dict[str, Any] = {}  # in the statement in place of what is true
        self.time: datetime | None = None  # in place of now
        self.news = threading.Condition()
        self._server = _Server(self, listening)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.closed = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if not self.closed:
            with self.news:
                self.closed = True
                self.news.notify_all()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def set(
        self,
        peers: Iterable[Mapping[str, Any]] = (),
        gateways: Iterable[Mapping[str, Any]] | None = None,
    ) -> None:
        """The registry holds these now, one revision on; peers are numbered in their order."""
        wanted_peers = {n: {**p, "id": n} for n, p in enumerate(peers, 1)}
        wanted = {str(g["name"]): dict(g) for g in ([gateway()] if gateways is None else gateways)}
        with self.news:
            self.revision += 1
            for number in wanted_peers.keys() | self.peers.keys():
                if wanted_peers.get(number) != self.peers.get(number):
                    self.touched["peers", number] = self.revision
            for name in wanted.keys() | self.gateways.keys():
                if wanted.get(name) != self.gateways.get(name):
                    self.touched["gateways", name] = self.revision
            self.gateways, self.peers = wanted, wanted_peers
            self.news.notify_all()

    def snapshot(self) -> dict[str, Any]:
        return {
            **self._head(),
            "gateways": list(self.gateways.values()),
            "peers": list(self.peers.values()),
        }

    def changes(self, after: int, wait: float) -> tuple[int, dict[str, Any]]:
        with self.news:
            if after == self.revision:
                self.news.wait_for(lambda: self.closed or after != self.revision, wait)
            if after > self.revision:
                return 409, {"type": "/problems/revision-ahead", "detail": "restored"}
            if after < self.floor:
                return 410, {"type": "/problems/snapshot-required", "detail": "too old"}
            changed = [key for key, revision in self.touched.items() if revision > after]
            return 200, {
                **self._head(),
                "after": after,
                "gateways": {n: self.gateways.get(n) for kind, n in changed if kind == "gateways"},
                "peers": {str(n): self.peers.get(n) for kind, n in changed if kind == "peers"},
            }

    def _head(self) -> dict[str, Any]:
        return {"registry": self.id, "revision": self.revision, "time": "2026-11-23T12:00:00Z"}

    def signed(self, body: bytes, after: int | None, router: str | None = None) -> dict[str, str]:
        """Headers; `after` is None with a snapshot."""
        said = json.loads(body)
        now = datetime.now(UTC) if self.time is None else self.time
        statement = {
            "registry": said["registry"],
            "kind": "snapshot" if after is None else "changes",
            "view": "all" if router is None else f"router/{router}",
            "after": after or 0,
            "revision": said["revision"],
            "time": now.isoformat(),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        return self.key.headers(statement | self.said)

    @property
    def report(self) -> dict[str, Any]:
        """The latest one; empty before the first."""
        return self.reports[-1] if self.reports else {}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, registry: Registry, listening: socket.socket) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.registry = registry


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        registry = self.server.registry
        url = urlsplit(self.path)
        registry.requests.append(url.path)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"type": "/problems/unauthorized", "detail": "no such token"})
        elif url.path == "/v1/allowlist":
            self._answer(200, registry.snapshot(), signed=True)
        elif url.path == "/v1/allowlist/keys":
            self._send(200, json.dumps({"endorsements": registry.key.endorsements}).encode())
        else:
            query = parse_qs(url.query)
            after = int(query["after"][0])
            status, body = registry.changes(after, float(query["wait"][0]))
            self._answer(status, body, after, signed=status == 200)

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        registry = self.server.registry
        if self.path.endswith("/seen"):
            registry.seen.append({**body, "path": self.path})
            self._send(204, b"")
            return
        if self.path.endswith("/strangers"):
            status = registry.refuses_strangers
            taken = registry.refused_strangers if status else registry.strangers
            taken.append({**body, "path": self.path})
            if status:
                kind = {404: "not-found"}.get(status, "trouble")
                self._answer(status, {"type": f"/problems/{kind}", "detail": "none here"})
            else:
                self._send(204, b"")
            return
        registry.reports.append({**body, "path": self.path})
        if registry.revision < body["revision"] and body["registry"] == registry.id:
            # As a restored registry does: on above what it is shown that it had been at.
            word = body["word"]
            shown = None if word is None else Word.of(word["statement"], *word["signature"].split())
            if shown is None or shown.revision < body["revision"]:
                self._answer(409, {"type": "/problems/not-lifted", "detail": "lift it by hand"})
                return
            registry.revision = shown.revision + 1
        self._send(204, b"", {"Peergate-Time": datetime.now(UTC).isoformat()})

    def _answer(
        self, status: int, body: object, after: int | None = None, *, signed: bool = False
    ) -> None:
        registry = self.server.registry
        content = json.dumps(body).encode()
        (router,) = parse_qs(urlsplit(self.path).query).get("router", [None])
        headers = registry.signed(content, after, router) if signed else {}
        if signed and registry.raw is not None:
            content = registry.raw
        self._send(status, content, headers)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] = {}) -> None:
        self.close_connection = self.server.registry.closed
        with suppress(ConnectionError):  # an agent that was killed meanwhile
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def listen(made: socket.socket, address: str, port: int) -> socket.socket:
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.listen()
    return made
