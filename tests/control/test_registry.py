"""The registry's client against a real HTTP server: what it sends, and every way to be refused."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from control.errors import RegistryError
from control.registry import RegistryClient, RevisionAhead, SnapshotRequired
from lab.netns import Namespace
from tests.control.edge import BRANCH_PEER
from tests.control.registry_server import TOKEN, Registry, listen

T = TypeVar("T")
PORT = 8470
URL = f"http://127.0.0.1:{PORT}"


@pytest.fixture
def host() -> Iterator[Namespace]:
    with Namespace("client") as made:
        yield made


@pytest.fixture
def registry(host: Namespace) -> Iterator[Registry]:
    listening = listen(host.socket(socket.AF_INET, socket.SOCK_STREAM), "127.0.0.1", PORT)
    with Registry(listening) as made:
        made.set([BRANCH_PEER])
        yield made


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "agent.token"
    path.write_text(f"{TOKEN}\n")
    return path


def ask(host: Namespace, token: Path | None, call: Callable[[RegistryClient], Awaitable[T]]) -> T:
    async def run() -> T:
        async with RegistryClient(URL, token) as client:
            return await call(client)

    with host.entered():
        return asyncio.run(run())


def test_a_snapshot_then_changes(host: Namespace, registry: Registry, token: Path) -> None:
    allowlist = ask(host, token, RegistryClient.snapshot)
    assert (allowlist.revision, allowlist.peers[0].name) == (1, "branch")
    registry.set([])
    changes = ask(host, token, lambda client: client.changes(1))
    assert (changes.revision, changes.peers, changes.gateways) == (2, {1: None}, {})


def test_restored_and_too_old_are_told_apart(
    host: Namespace, registry: Registry, token: Path
) -> None:
    with pytest.raises(RevisionAhead):
        ask(host, token, lambda client: client.changes(5))
    registry.revision, registry.floor = 9, 4
    with pytest.raises(SnapshotRequired):
        ask(host, token, lambda client: client.changes(3))


def test_a_report_goes_under_the_routers_name(
    host: Namespace, registry: Registry, token: Path
) -> None:
    report = {"registry": registry.id, "revision": 1, "counters": {}}
    ask(host, token, lambda client: client.report("edge-1", report))
    assert registry.reports == [{**report, "path": "/v1/routers/edge-1/report"}]


def test_no_answer_at_all(host: Namespace, token: Path) -> None:
    with pytest.raises(RegistryError, match=rf"registry {URL}: not reached: "):
        ask(host, token, RegistryClient.snapshot)


def test_a_token_that_the_registry_does_not_know(
    host: Namespace, registry: Registry, token: Path
) -> None:
    token.write_text("pg_other")
    with pytest.raises(RegistryError, match=r"401 .*no such token; `token_file` must hold"):
        ask(host, token, RegistryClient.snapshot)


@pytest.mark.parametrize("content", [b"", b"two words", b"two\nlines", b"\xff\xfe"])
def test_a_file_that_holds_no_token(host: Namespace, token: Path, content: bytes) -> None:
    token.write_bytes(content)
    with pytest.raises(RegistryError, match=r"agent.token: "):
        ask(host, token, RegistryClient.snapshot)


def test_a_token_that_cannot_be_read(host: Namespace, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"missing: the token cannot be read: No such file"):
        ask(host, tmp_path / "missing", RegistryClient.snapshot)


@pytest.mark.parametrize("raw", [b"", b"<html>", b"{", b'{"registry": 1}', b"\xff"])
def test_answers_that_are_no_allowlist(
    host: Namespace, registry: Registry, token: Path, raw: bytes
) -> None:
    registry.raw = raw
    with pytest.raises(RegistryError, match=r"its snapshot is refused: "):
        ask(host, token, RegistryClient.snapshot)
    with pytest.raises(RegistryError, match=r"its answer for changes is refused: "):
        ask(host, token, lambda client: client.changes(0))


def test_a_ca_file_without_certificates(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(RegistryError, match=r"ca.pem: no certificates to trust"):
        RegistryClient("https://registry.example.net", None, tmp_path / "ca.pem")
