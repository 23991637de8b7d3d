"""The JSON between registry and agent: real responses of the one, the real parser of the other."""

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import uvicorn

from api.app import create_app
from api.bootstrap import init
from api.settings import Settings
from api.signing import Signer, Statement
from control.allowlist import advance, to_json
from control.errors import RegistryError, UnreachableError
from control.model import Allowlist
from control.reader import parse_snapshot
from control.registry import RegistryClient, RevisionAhead, SnapshotRequired
from control.report import shown
from control.word import Word
from policy.services import Service
from policy.window import Window
from tests.api.bodies import gateway, peer, report
from tests.postgresql import Server

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry that answers on loopback: as admin through `http`, as agent through `ask`."""

    url: str
    http: httpx.Client
    token_file: Path
    key_file: Path

    def ask(self, question: Callable[[RegistryClient], Coroutine[Any, Any, T]]) -> T:
        async def ask() -> T:
            async with RegistryClient(self.url, self.token_file) as client:
                return await question(client)

        return asyncio.run(ask())

    def do(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  # JSON
        response = self.http.request(method, path, json=body, headers={"If-Match": "*"})
        assert response.is_success, response.text
        return response.json() if response.content else None

    def approved(self, **fields: object) -> int:
        number: int = self.do("POST", "/v1/peers", peer(**fields))["id"]
        self.do("POST", f"/v1/peers/{number}/approve")
        return number


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """The application in a thread, on a free port of loopback."""
    config = uvicorn.Config(create_app(settings), port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive(), "the registry did not start"
            assert time.monotonic() < deadline, "the registry did not start in time"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


@contextmanager
def made(settings: Settings, tmp_path: Path) -> Iterator[Registry]:
    admin = init(settings).token
    token_file = tmp_path / "agent.token"
    with (
        serving(settings) as url,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {admin}"}) as http,
    ):
        issued = http.post("/v1/tokens", json={"name": "edge-1", "role": "agent"})
        token_file.write_text(issued.json()["token"] + "\n")
        yield Registry(url, http, token_file, settings.key_file)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/registry.db", kept_revisions=5)
    with made(settings, tmp_path) as registry:
        yield registry


def test_a_snapshot_is_what_was_registered(registry: Registry) -> None:
    registry.do(
        "POST",
        "/v1/gateways",
        gateway(
            addresses=["198.51.100.0/30", "2001:db8::1"],
            services=["ipsec", "udp/4433"],
            enforce_from="2026-12-01T00:00:00Z",
        ),
    )
    number = registry.approved(
        sources=["203.0.113.7", "2001:db8:7::/48"], valid_until="2027-01-31T00:00:00Z"
    )
    registry.do("POST", "/v1/peers", peer(name="still-pending"))
    allowlist = registry.ask(RegistryClient.snapshot)
    (hub,), (branch,) = allowlist.gateways, allowlist.peers
    assert hub.addresses == (ip_network("198.51.100.0/30"), ip_network("2001:db8::1/128"))
    assert Service(17, 4433) in hub.services
    assert Service(50) in hub.services
    assert hub.enforce == Window(datetime(2026, 12, 1, tzinfo=UTC), None)
    assert (branch.id, branch.name, branch.gateway) == (number, "branch-7", "hub")
    assert branch.sources == (ip_network("203.0.113.7/32"), ip_network("2001:db8:7::/48"))
    assert branch.valid == Window(None, datetime(2027, 1, 31, tzinfo=UTC))
    assert (branch.owner, branch.contact) == ("Branch networks", "netops@example.net")
    assert parse_snapshot(to_json(allowlist)) == allowlist


def test_changes_lead_where_the_snapshot_leads(registry: Registry) -> None:
    registry.do("POST", "/v1/gateways", gateway())
    first = registry.ask(RegistryClient.snapshot)
    kept = registry.approved()
    gone = registry.approved(name="branch-8", sources=["203.0.113.8"])
    registry.do("PATCH", "/v1/gateways/hub", {"mode": "monitor"})
    registry.do("POST", f"/v1/peers/{gone}/revoke", {"reason": "closed"})
    changes = registry.ask(lambda client: client.changes(first.revision))
    assert set(changes.peers) == {kept, gone}
    assert changes.peers[gone] is None
    followed = advance(first, changes)
    whole = registry.ask(RegistryClient.snapshot)
    assert followed.revision == whole.revision > first.revision
    assert set(followed.gateways) == set(whole.gateways)
    assert set(followed.peers) == set(whole.peers)


class Counting(RegistryClient):
    opened = 0

    def _asked(self, after: int, accepted: str) -> AbstractAsyncContextManager[httpx.Response]:
        self.opened += 1
        return super()._asked(after, accepted)


def test_one_request_brings_many_changes(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.do("POST", "/v1/gateways", gateway())

    async def follow() -> None:
        async with Counting(registry.url, registry.token_file) as client:
            at = (await client.changes(0)).revision
            for number in range(1, 5):
                approved = await asyncio.to_thread(
                    registry.approved, name=f"p-{number}", sources=[f"203.0.113.{number}"]
                )
                found = await client.changes(at)
                assert (found.after, found.revision) == (at, at + 1)
                assert set(found.peers) == {approved}
                at = found.revision
            assert client.opened == 1
            # From elsewhere it is another one.
            assert (await client.changes(at - 1)).after == at - 1
            assert client.opened == 2
            # So it is where nobody has read for so long that its lines may be old ones.
            assert (await client.changes(at)).revision == at
            assert client.opened == 2
            monkeypatch.setattr(client._following, "_unread", 0.0)
            assert (await client.changes(at)).revision == at
            assert client.opened == 3

    asyncio.run(follow())


def test_changes_no_longer_kept_ask_for_a_snapshot(registry: Registry) -> None:
    registry.do("POST", "/v1/gateways", gateway())
    for turn in range(6):
        mode = "enforce" if turn % 2 else "monitor"
        registry.do("PATCH", "/v1/gateways/hub", {"mode": mode})
    with pytest.raises(SnapshotRequired):
        registry.ask(lambda client: client.changes(1))


def test_a_restored_registry_goes_on_above_what_a_router_reports(registry: Registry) -> None:
    registry.do("POST", "/v1/gateways", gateway())
    known = registry.ask(RegistryClient.snapshot)
    with pytest.raises(RevisionAhead):
        registry.ask(lambda client: client.changes(known.revision + 40))
    ahead = report(known.registry, known.revision + 40)
    with pytest.raises(RegistryError, match="peergate api lift --to-revision 41"):
        registry.ask(lambda client: client.report("edge-1", ahead))
    # What it had heard before the registry was restored.
    assert known.word is not None
    said = Statement(**json.loads(known.word.statement) | {"revision": known.revision + 40})
    signed = Signer(registry.key_file).sign(said)
    ahead["word"] = shown(Word.in_headers(signed))
    registry.ask(lambda client: client.report("edge-1", ahead))
    assert registry.ask(RegistryClient.snapshot).revision > known.revision + 40


@dataclass
class Cut:
    """Between agent and registry: breaks the first answers off after so many bytes."""

    to: int
    bytes_of: list[int]
    requests: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(request)
            up, out = await asyncio.open_connection("127.0.0.1", self.to)
            out.write(request.replace(b"keep-alive", b"close"))
            answer = await up.read(-1)
            writer.write(answer[: self.bytes_of.pop(0)] if self.bytes_of else answer)
            out.close()
            await out.wait_closed()
        finally:
            writer.close()
            await writer.wait_closed()


def test_a_snapshot_that_is_broken_off_is_gone_on_with(registry: Registry) -> None:
    registry.do("POST", "/v1/gateways", gateway())
    for number in range(40):
        purpose = sha256(bytes([number])).hexdigest()  # which no compression makes short
        name = f"branch-{number}"
        registry.approved(name=name, sources=[f"203.0.113.{number}"], purpose=purpose)
    port = int(registry.url.rpartition(":")[2])

    async def fetch(cut: Cut) -> Allowlist:
        async with await asyncio.start_server(cut.serve, "127.0.0.1", 0) as server:
            where = server.sockets[0].getsockname()[1]
            async with RegistryClient(f"http://127.0.0.1:{where}", registry.token_file) as client:
                return await client.snapshot()

    cut = Cut(port, [1500, 1200])
    found = asyncio.run(fetch(cut))
    assert set(found.peers) == set(registry.ask(RegistryClient.snapshot).peers)
    ranges = [re.search(rb"(?i)\nrange: bytes=(\d+)-", request) for request in cut.requests]
    assert ranges.pop(0) is None
    starts = [int(each[1]) for each in ranges if each is not None]
    assert len(starts) == 2
    assert 0 < starts[0] < starts[1]
    # Where nothing of it comes it is not asked for again at once.
    with pytest.raises(UnreachableError):
        asyncio.run(fetch(Cut(port, [0])))


def test_a_report_is_shown_as_it_was_sent(registry: Registry) -> None:
    known = registry.ask(RegistryClient.snapshot)
    sent = report(known.registry, known.revision)
    registry.ask(lambda client: client.report("edge-1", sent))
    shown = registry.do("GET", "/v1/routers/edge-1")["report"]
    assert {key: shown[key] for key in ("revision", "kernel", "interfaces", "counters")} == {
        key: sent[key] for key in ("revision", "kernel", "interfaces", "counters")
    }


def test_a_report_is_answered_with_the_registrys_time(registry: Registry) -> None:
    known = registry.ask(RegistryClient.snapshot)
    about = report(known.registry, known.revision)
    before = time.time_ns()
    told = registry.ask(lambda client: client.report("edge-1", about))
    assert told is not None
    assert before <= told.said <= time.time_ns()
    assert told.sent < told.came <= time.monotonic_ns()


def test_while_its_database_is_away_a_registry_has_no_news(
    postgresql_server: Server, tmp_path: Path
) -> None:
    """For an agent that is a registry out of reach: what is in force stays, and it asks again."""
    with (
        postgresql_server.database() as url,
        made(
            Settings(database_url=url, named_key_file=tmp_path / "registry.key"), tmp_path
        ) as registry,
    ):
        registry.do("POST", "/v1/gateways", gateway())
        registry.approved()
        known = registry.ask(RegistryClient.snapshot)
        about = report(known.registry, known.revision)
        questions: list[Callable[[RegistryClient], Coroutine[Any, Any, object]]] = [
            RegistryClient.snapshot,
            lambda client: client.changes(known.revision),
            lambda client: client.report("edge-1", about),
        ]
        with postgresql_server.away():
            for question in questions:
                with pytest.raises(RegistryError, match="the database does not answer") as away:
                    registry.ask(question)
                # None of the refusals that would make an agent start anew.
                assert type(away.value) is UnreachableError
        later = registry.approved(name="branch-8", sources=["203.0.113.8"])
        changes = registry.ask(lambda client: client.changes(known.revision))
        assert set(changes.peers) == {later}
