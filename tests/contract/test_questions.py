"""A question to a router, from whoever asks the one process to an agent that follows the other."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from api.bootstrap import init
from api.settings import Settings
from control.allowlist import Changes
from control.answering import Answering
from control.clock import Clock, read_clocks
from control.dataplane import DataPlane
from control.follow import Follower
from control.gate import Gate
from control.model import Allowlist
from control.registry import RegistryClient
from control.sizes import Limits
from control.trust import Trust
from lab.watch import wait_until
from tests.api.bodies import gateway, peer, report
from tests.contract.test_agent_follows_registry import serving
from tests.control.conftest import bpffs
from tests.control.planes import SIZES
from tests.postgresql import Server

__all__ = ["bpffs"]

T = TypeVar("T")
DEADLINE = 60.0
PACKET = {"dst": "198.51.100.1", "proto": "udp", "dport": "51820"}


class Router:
    """The agent's follower and gate over maps of its own, and what answers questions."""

    def __init__(self, gate: Gate, client: RegistryClient) -> None:
        self.gate = gate
        self.client = client
        self._turn = asyncio.Lock()

    async def do(self, work: Callable[[], T], /) -> T:
        async with self._turn:
            return await asyncio.to_thread(work)

    async def offer(self, allowlist: Allowlist) -> None:
        await self.do(lambda: self.gate.offer(allowlist))
        await self.report()

    async def follow(self, base: Allowlist, changes: Changes, allowlist: Allowlist) -> None:
        await self.do(lambda: self.gate.follow(base, changes, allowlist))
        await self.report()

    async def report(self) -> None:
        held = self.gate.applied
        if held is not None:
            await self.client.report("edge-1", report(held.registry, held.revision))


@contextmanager
def following(url: str, token: Path, plane: DataPlane) -> Iterator[Gate]:
    """An agent without interfaces, until the end of the block."""
    gate = Gate(plane, Clock(read_clocks(), 0), Limits(), token.parent)
    started = threading.Event()

    async def run() -> None:
        async with RegistryClient(url, token, router="edge-1") as client:
            router = Router(gate, client)
            trust = Trust(token.parent)
            follower = Follower(client, token.parent, router, router.report, trust)
            answering = Answering(client, "edge-1", gate, router.do)
            started.set()
            await asyncio.gather(follower.run(), answering.run())

    with start_blocking_portal() as portal:
        running = portal.start_task_soon(run)
        try:
            assert started.wait(DEADLINE)
            yield gate
            assert not running.done(), running.exception()
        finally:
            running.cancel()


def revision_of(gate: Gate) -> int:
    return 0 if gate.applied is None else gate.applied.revision


@dataclass
class Asker:
    """As an admin, at one process."""

    http: httpx.Client

    def do(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  # JSON
        response = self.http.request(method, path, json=body, headers={"If-Match": "*"})
        assert response.is_success, response.text
        return response.json() if response.content else None

    def explain(self, router: str = "edge-1", **query: str) -> httpx.Response:
        return self.http.get(f"/v1/routers/{router}/explain", params={**PACKET, **query})


@pytest.fixture
def two(postgresql_server: Server, tmp_path: Path) -> Iterator[tuple[Asker, str, Path]]:
    """Who asks one process, and where the other one is; they never look by themselves."""
    with ExitStack() as stack:
        url = stack.enter_context(postgresql_server.database())
        settings = Settings(
            database_url=url, named_key_file=tmp_path / "registry.key", poll_seconds=3600
        )
        admin = init(settings).token
        here, there = (stack.enter_context(serving(settings)) for _ in range(2))
        headers = {"Authorization": f"Bearer {admin}"}
        asker = Asker(
            stack.enter_context(httpx.Client(base_url=here, headers=headers, timeout=DEADLINE))
        )
        issued = asker.do("POST", "/v1/tokens", {"name": "edge-1", "role": "agent"})
        token = tmp_path / "agent.token"
        token.write_text(issued["token"])
        yield asker, there, token


def test_a_router_tells_what_its_program_says(two: tuple[Asker, str, Path], bpffs: Path) -> None:
    asker, there, token = two
    asker.do("POST", "/v1/gateways", gateway())
    number = asker.do("POST", "/v1/peers", peer())["id"]
    asker.do("POST", f"/v1/peers/{number}/approve")
    early = asker.explain(src="203.0.113.7")
    assert (early.status_code, early.json()["type"]) == (409, "/problems/router-away")
    with DataPlane.pinned(bpffs, SIZES) as plane, following(there, token, plane) as gate:
        assert wait_until(lambda: gate.applied is not None, DEADLINE)
        assert wait_until(lambda: asker.explain(src="203.0.113.7").is_success, DEADLINE)
        before = plane.counters()
        told = asker.explain(src="203.0.113.7").json()
        assert (told["verdict"], told["action"], told["gateway"]) == ("registered", "pass", "hub")
        assert (told["peer"]["name"], told["revision"]) == ("branch-7", revision_of(gate))
        assert told["why"] == [f"203.0.113.7/32 of peer branch-7 ({number}) at hub is valid"]
        stranger = asker.explain(src="203.0.113.9").json()
        assert (stranger["verdict"], stranger["action"]) == ("unregistered", "drop")
        assert stranger["nearest"]["name"] == "branch-7"
        # What is in force is judged, also right after a change, and as of another time.
        asker.do("POST", f"/v1/peers/{number}/renew", {"valid_until": "2099-01-01T00:00:00Z"})
        revision = asker.do("GET", "/v1/status")["revision"]
        assert wait_until(lambda: revision_of(gate) == revision, DEADLINE)
        late = asker.explain(src="203.0.113.7", now="2099-01-01T00:00:00Z").json()
        assert (late["verdict"], late["now"]) == ("expired", "2099-01-01T00:00:00Z")
        asker.do("PATCH", "/v1/gateways/hub", {"mode": "monitor"})
        revision += 1
        assert wait_until(lambda: revision_of(gate) == revision, DEADLINE)
        passed = asker.explain(src="203.0.113.9").json()
        assert (passed["action"], passed["would_drop"]) == ("pass", True)
        assert plane.counters() == before
        assert len(plane.seen().peers) == 0
    gone = asker.explain(src="203.0.113.7", wait="0.3")
    assert (gone.status_code, gone.json()["type"]) == (504, "/problems/not-taken")
    assert "peergate 0.1.0" in gone.json()["detail"]
