"""Two routers with labels of their own follow a real registry with the agent's own client code."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from api.bootstrap import init
from api.settings import Settings
from control.allowlist import Changes
from control.follow import Follower
from control.model import Allowlist
from control.registry import RegistryClient
from control.trust import Trust
from lab.watch import wait_until
from tests.api.bodies import gateway, report
from tests.contract.test_agent_follows_registry import Registry, serving
from tests.postgresql import Server

DEADLINE = 20.0


@dataclass
class Router:
    """The agent's follower without its kernel part; it reports what it has in force."""

    name: str
    client: RegistryClient
    whole: int = 0
    held: Allowlist | None = None
    reported: list[int] = field(default_factory=list)

    async def offer(self, allowlist: Allowlist) -> None:
        self.whole += 1
        await self._take(allowlist)

    async def follow(self, base: Allowlist, changes: Changes, allowlist: Allowlist) -> None:
        assert base is self.held
        await self._take(allowlist)

    async def _take(self, allowlist: Allowlist) -> None:
        self.held = allowlist
        await self.client.report(self.name, report(allowlist.registry, allowlist.revision))

    @property
    def has(self) -> tuple[set[str], set[str]]:
        """Names of gateways and peers."""
        held = self.held
        if held is None:
            return set(), set()
        return {each.name for each in held.gateways}, {each.name for each in held.peers}


@contextmanager
def following(url: str, tokens: dict[str, Path]) -> Iterator[dict[str, Router]]:
    """Each with a token of its own, in an event loop of their own."""
    routers: dict[str, Router] = {}
    ready = threading.Event()

    async def run() -> None:
        async with AsyncExitStack() as stack:
            running = []
            for name, file in tokens.items():
                client = await stack.enter_async_context(RegistryClient(url, file, router=name))
                routers[name] = router = Router(name, client)
                state_dir = file.parent / name
                state_dir.mkdir()
                trust = Trust(state_dir)
                running.append(Follower(client, state_dir, router, nothing, trust).run())
            ready.set()
            await asyncio.gather(*running)

    with start_blocking_portal() as portal:
        running = portal.start_task_soon(run)
        try:
            assert ready.wait(DEADLINE)
            yield routers
            assert not running.done(), running.exception()
        finally:
            running.cancel()


async def nothing() -> None:
    """No report but those that the router sends by itself."""


@contextmanager
def two_routers(settings: Settings, tmp_path: Path) -> Iterator[tuple[Registry, dict[str, Router]]]:
    admin = init(settings).token
    with (
        serving(settings) as url,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {admin}"}) as http,
    ):
        tokens = {}
        for name, labels in (
            ("fra-1", {"site": "fra", "stage": "canary"}),
            ("ams-1", {"site": "ams"}),
        ):
            http.post("/v1/routers", json={"name": name, "labels": labels}).raise_for_status()
            body = {"name": name, "role": "agent", "router": name}
            tokens[name] = tmp_path / f"{name}.token"
            tokens[name].write_text(http.post("/v1/tokens", json=body).json()["token"])
        with following(url, tokens) as routers:
            yield Registry(url, http, tmp_path, settings.key_file), routers


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    if request.param == "sqlite":
        yield Settings(database_url=f"sqlite:///{tmp_path}/registry.db")
        return
    server: Server = request.getfixturevalue("postgresql_server")
    with server.database() as url:
        yield Settings(database_url=url, named_key_file=tmp_path / "registry.key")


def test_labels_and_canaries_as_agents_see_them(settings: Settings, tmp_path: Path) -> None:
    with two_routers(settings, tmp_path) as (registry, routers):
        fra, ams = routers["fra-1"], routers["ams-1"]

        def both(fra_has: Callable[[], object], ams_has: Callable[[], object]) -> bool:
            return wait_until(lambda: bool(fra_has()) and bool(ams_has()), DEADLINE)

        for number, (name, labels) in enumerate(
            (("hub", {}), ("fra", {"site": "fra"}), ("ams", {"site": "ams"})), 1
        ):
            where = {"addresses": [f"198.51.100.{number}"], "routers": labels}
            registry.do("POST", "/v1/gateways", gateway(name=name, **where))
            registry.approved(name=f"at-{name}", gateway=name)
        assert both(
            lambda: fra.has == ({"hub", "fra"}, {"at-hub", "at-fra"}),
            lambda: ams.has == ({"hub", "ams"}, {"at-hub", "at-ams"}),
        ), (fra.has, ams.has)

        # Canary first.
        registry.do("PUT", "/v1/rollout", {"canaries": {"stage": "canary"}})
        registry.approved(name="new", gateway="hub", sources=["203.0.113.9"])
        head = registry.do("GET", "/v1/status")["revision"]
        assert both(
            lambda: "new" in fra.has[1],
            # It has the revision, but not what is in it.
            lambda: ams.held is not None and ams.held.revision == head,
        )
        assert "new" not in ams.has[1]
        shown = {each["name"]: each for each in registry.do("GET", "/v1/routers")["items"]}
        assert (shown["fra-1"]["stage"], shown["ams-1"]["stage"]) == ("canary", "rest")
        # An incident does not wait.
        (stolen,) = (
            each["id"]
            for each in registry.do("GET", "/v1/peers")["items"]
            if each["name"] == "at-hub"
        )
        registry.do("POST", f"/v1/peers/{stolen}/revoke?urgent=true", {"reason": "stolen"})
        assert both(lambda: "at-hub" not in fra.has[1], lambda: "at-hub" not in ams.has[1])
        assert "new" not in ams.has[1]
        registry.do("POST", "/v1/rollout/confirm", {"revision": head})
        assert both(lambda: True, lambda: "new" in ams.has[1])

        # Other labels: the gateways change as differences, without another snapshot.
        registry.do("PATCH", "/v1/routers/ams-1", {"labels": {"site": "fra"}})
        assert both(lambda: True, lambda: ams.has == ({"hub", "fra"}, {"new", "at-fra"})), ams.has
        assert (fra.whole, ams.whole) == (1, 1)


def test_a_router_with_anothers_token_is_told_so(settings: Settings, tmp_path: Path) -> None:
    with two_routers(settings, tmp_path) as (registry, _):
        wrong = RegistryClient(registry.url, tmp_path / "fra-1.token", router="ams-1")

        async def ask() -> Allowlist:
            async with wrong:
                return await wrong.snapshot()

        with pytest.raises(Exception, match="is for router 'fra-1', not for 'ams-1'"):
            asyncio.run(ask())
