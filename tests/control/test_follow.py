"""The follower by itself: a large snapshot that is fetched again holds up no change."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from control import follow
from control.allowlist import Changes
from control.follow import Follower
from control.model import Allowlist
from control.registry import RegistryClient
from control.trust import Trust
from tests.control.edge import SECONDS, peer
from tests.control.registry_server import TOKEN, Registry, listen

A, B, C = (peer(name, f"203.0.113.{n}") for n, name in enumerate("abc", 1))


@dataclass
class Gate:
    """Notes what comes, in order."""

    offered: list[Allowlist] = field(default_factory=list)
    followed: list[Allowlist] = field(default_factory=list)

    async def offer(self, allowlist: Allowlist) -> None:
        self.offered.append(allowlist)

    async def follow(self, base: Allowlist, changes: Changes, allowlist: Allowlist) -> None:
        last = (*self.offered, *self.followed)
        assert any(base is one for one in last)
        assert changes.after == base.revision
        self.followed.append(allowlist)


class SlowClient(RegistryClient):
    """Whose snapshots arrive late, but for the first."""

    arrives: asyncio.Event
    asked = 0

    async def snapshot(self, at_least: int | None = None) -> Allowlist:
        self.asked += 1
        allowlist = await super().snapshot(at_least)
        if self.asked > 1:
            await self.arrives.wait()
        return allowlist


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
        yield listen(made, "127.0.0.1", 0)


@pytest.fixture
def registry(listening: socket.socket) -> Iterator[Registry]:
    with Registry(listening) as made:
        made.set([A])
        yield made


def names(allowlist: Allowlist) -> list[str]:
    return sorted(each.name for each in allowlist.peers)


def has_followed(gate: Gate, number: int) -> bool:
    return len(gate.followed) == number


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not done():
            await asyncio.sleep(0.01)


def test_changes_are_followed_while_a_snapshot_is_fetched_again(
    registry: Registry,
    listening: socket.socket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    (tmp_path / "token").write_text(TOKEN)

    async def nothing() -> None:
        pass

    async def run() -> None:
        gate = Gate()
        async with SlowClient(url, tmp_path / "token") as client:
            client.arrives = asyncio.Event()
            running = asyncio.create_task(
                Follower(client, tmp_path, gate, nothing, Trust(tmp_path)).run()
            )
            await until(lambda: len(gate.offered) == 1)
            monkeypatch.setattr(follow, "SNAPSHOT_EVERY", 0.0)
            registry.set([A, B])
            await until(lambda: len(gate.followed) == 1)
            await until(lambda: client.asked == 2)
            monkeypatch.setattr(follow, "SNAPSHOT_EVERY", 3600.0)
            for number, peers in enumerate(([A, B, C], [A, C]), 2):
                registry.set(peers)
                await until(partial(has_followed, gate, number))
            client.arrives.set()
            registry.set([C])
            await until(lambda: len(gate.offered) == 2)
            registry.set([C, A])
            await until(lambda: len(gate.followed) == 5)
            running.cancel()
        assert [names(each) for each in gate.offered] == [["a"], ["c"]]
        assert gate.offered[1].revision == gate.followed[3].revision == 5
        assert names(gate.followed[-1]) == ["a", "c"]

    asyncio.run(run())


def test_a_registry_that_was_restarted_is_asked_for_changes_alone(
    registry: Registry, listening: socket.socket, tmp_path: Path
) -> None:
    """A thousand routers that come back would fetch as many snapshots, all at once."""
    port = listening.getsockname()[1]
    (tmp_path / "token").write_text(TOKEN)

    async def nothing() -> None:
        pass

    async def run() -> None:
        gate = Gate()
        async with RegistryClient(f"http://127.0.0.1:{port}", tmp_path / "token") as client:
            follower = Follower(client, tmp_path, gate, nothing, Trust(tmp_path))
            running = asyncio.create_task(follower.run())
            await until(lambda: "/v1/allowlist/changes" in registry.requests)
            await asyncio.to_thread(registry.close)
            await until(lambda: follower.trouble is not None)
            with (
                socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made,
                Registry(listen(made, "127.0.0.1", port)) as back,
            ):
                back.set([A])
                back.set([A, B])
                await until(lambda: has_followed(gate, 1))
                assert "/v1/allowlist" not in back.requests
                running.cancel()
        assert names(gate.followed[0]) == ["a", "b"]
        assert len(gate.offered) == 1

    asyncio.run(run())


def test_an_allowlist_from_disk_is_gone_on_from(
    registry: Registry, listening: socket.socket, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    (tmp_path / "token").write_text(TOKEN)

    async def nothing() -> None:
        pass

    async def run() -> None:
        gate = Gate()
        async with RegistryClient(url, tmp_path / "token") as client:
            base = await client.snapshot()
            gate.offered.append(base)
            registry.set([A, B])
            registry.requests.clear()
            trust = Trust(tmp_path)
            running = asyncio.create_task(
                Follower(client, tmp_path, gate, nothing, trust, base).run()
            )
            await until(lambda: has_followed(gate, 1))
            running.cancel()
        assert "/v1/allowlist" not in registry.requests

    asyncio.run(run())
