"""A registry that was restored from a backup, and what routers hold that had gone further."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from api import backup
from api.settings import Settings
from control.allowlist import Changes
from control.follow import Follower
from control.model import Allowlist
from control.registry import RegistryClient
from control.trust import Trust
from tests.api.bodies import gateway
from tests.contract.test_agent_follows_registry import made, serving

DEADLINE = 60.0


@dataclass
class Gate:
    """What the router has in force."""

    held: list[Allowlist] = field(default_factory=list)
    snapshots: int = 0

    async def offer(self, allowlist: Allowlist) -> None:
        self.snapshots += 1
        self.held.append(allowlist)

    async def follow(self, base: Allowlist, changes: Changes, allowlist: Allowlist) -> None:
        self.held.append(allowlist)


async def nothing() -> None:
    """No report: that of a router that is ahead would lift the registry."""


def follow(url: str, token: Path, gate: Gate, revision: int) -> None:
    """Goes on from what the gate has, as an agent does that was started anew, to that revision."""

    async def run() -> None:
        base = gate.held[-1] if gate.held else None
        async with RegistryClient(url, token) as client:
            follower = Follower(client, token.parent, gate, nothing, Trust(token.parent), base)
            running = asyncio.create_task(follower.run())
            try:
                async with asyncio.timeout(DEADLINE):
                    while not gate.held or gate.held[-1].revision < revision:
                        await asyncio.sleep(0.01)
            finally:
                running.cancel()

    asyncio.run(run())


@contextmanager
def admin(settings: Settings, headers: httpx.Headers) -> Iterator[httpx.Client]:
    with (
        serving(settings) as url,
        httpx.Client(base_url=url, headers=headers, timeout=DEADLINE) as http,
    ):
        yield http


def add(http: httpx.Client, number: int, name: str) -> None:
    body = gateway(name=name, addresses=[f"198.51.100.{number}"])
    http.post("/v1/gateways", json=body).raise_for_status()


def names(gate: Gate) -> list[str]:
    return sorted(each.name for each in gate.held[-1].gateways)


def test_numbers_that_came_again_lead_no_router_astray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was away while the registry made the revision that it has, and further ones, anew."""
    monkeypatch.setattr("api.registry.allowlist.SKEW", timedelta(0))
    settings = Settings(database_url=f"sqlite:///{tmp_path}/registry.db")
    gate, kept = Gate(), tmp_path / "kept.db"
    with made(settings, tmp_path) as registry:
        registry.http.timeout = DEADLINE
        add(registry.http, 1, "hub")
        backup.make(settings, kept)
        add(registry.http, 2, "lost")
        follow(registry.url, registry.token_file, gate, 2)
        assert names(gate) == ["hub", "lost"]
        headers, token = registry.http.headers, registry.token_file
    for file in tmp_path.glob("registry.db*"):
        file.unlink()
    shutil.copy(kept, tmp_path / "registry.db")
    with admin(settings, headers) as http:
        add(http, 3, "other")
        add(http, 4, "third")
        url = str(http.base_url)
        follow(url, token, gate, 3)
        assert (names(gate), gate.snapshots) == (["hub", "other", "third"], 2)
        # What it has now it goes on from, after a restart of the registry too.
        add(http, 5, "fourth")
        follow(url, token, gate, 4)
    with admin(settings, headers) as http:
        add(http, 6, "fifth")
        follow(str(http.base_url), token, gate, 5)
    assert (len(names(gate)), gate.snapshots) == (5, 2)
