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

    async def snapshot(self) -> Allowlist:
        self.asked += 1
        allowlist = await super().snapshot()
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
            running = asyncio.create_task(Follower(client, tmp_path, gate, nothing).run())
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
