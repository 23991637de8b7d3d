"""python -m bench.registry.crowd URL DIRECTORY STATE FIRST COUNT: routers without kernel part.

Each is the agent's own client, follower and reporter, with a token and a state directory of its
own. They begin as after a restart: with one snapshot, which they share here to save memory. At
each line on stdin what was noted since the last one is printed, in JSON on one line.
"""

import asyncio
import gc
import json
import logging
import random
import sys
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

import httpx
import uvloop

from control import follow, state
from control.allowlist import Changes
from control.follow import Follower
from control.model import Allowlist
from control.registry import RegistryClient
from control.report import Reporter, shown
from control.settings import Settings
from control.snapshot import load_snapshot
from control.trust import Trust

# The snapshot that each router fetches once an hour would have a thousand of them parse here, on
# the CPUs that the registry is measured on: a third of one.
follow.SNAPSHOT_EVERY = 1e9

# Over which they begin, as they would come by and by.
_BEGIN = 5.0
# Seconds. Each has a machine of its own for what it does once it has a change: here that would hold
# up those who are still to be told.
_AFTERWARDS = (1.0, 2.0)


@dataclass
class Notes:
    """Times are of the monotonic clock, which all processes share."""

    came: list[tuple[int, float]] = field(default_factory=list)  # revision, when
    asked: list[float] = field(default_factory=list)  # for changes
    answered: list[float] = field(default_factory=list)
    snapshots: int = 0


class Client(RegistryClient):
    notes: Notes

    def _asked(self, after: int, accepted: str) -> AbstractAsyncContextManager[httpx.Response]:
        self.notes.asked.append(time.monotonic())
        return super()._asked(after, accepted)

    async def changes(self, after: int, heard: datetime | None = None) -> Changes:
        found = await super().changes(after, heard)
        self.notes.answered.append(time.monotonic())
        return found

    async def snapshot(self, at_least: int | None = None) -> Allowlist:
        self.notes.snapshots += 1
        return await super().snapshot(at_least)


class Gate:
    """Where the maps would be changed: notes when that would have begun."""

    def __init__(self, notes: Notes, settings: Settings) -> None:
        self._notes = notes
        self._settings = settings
        self._newest: Allowlist | None = None
        self.reporter: Reporter | None = None
        self.follower: Follower | None = None

    async def offer(self, allowlist: Allowlist) -> None:
        self._notes.came.append((allowlist.revision, time.monotonic()))
        later, self._newest = self._newest is None, allowlist
        if later:
            asyncio.get_running_loop().call_later(random.uniform(*_AFTERWARDS), self._remember)

    def _remember(self) -> None:
        newest, self._newest = self._newest, None
        assert newest is not None
        known = state.Known(newest.registry, newest.revision)
        state.remember_registry(self._settings.state_dir, known)
        if self.reporter is not None:
            self.reporter.soon.set()

    async def follow(self, base: Allowlist, changes: Changes, allowlist: Allowlist) -> None:
        await self.offer(allowlist)

    async def report(self) -> dict[str, object]:
        return {
            "version": "bench",
            "kernel": "none",
            "time": "2026-11-28T12:00:00Z",
            "interfaces": [],
            "entries": {"hosts": 0, "prefixes": 0},
            "word": shown(None if self.follower is None else self.follower.word),
        }


async def _router(
    url: str, directory: Path, state_dir: Path, number: int, base: Allowlist, notes: Notes
) -> None:
    name = f"router-{number}"
    settings = Settings(
        router=name,
        interfaces=("none",),
        registry_url=url,
        token_file=directory / f"{name}.token",
        state_dir=state_dir / name,
    )
    state.prepare(settings.state_dir)
    state.remember_registry(settings.state_dir, state.Known(base.registry, base.revision))
    await asyncio.sleep(random.uniform(0, _BEGIN))
    async with Client.of(settings) as client:
        client.notes = notes
        gate = Gate(notes, settings)
        gate.reporter = Reporter(client, settings, gate.report, lambda _: None)
        trust = Trust(settings.state_dir)
        follower = Follower(client, settings.state_dir, gate, gate.reporter.send, trust, base)
        gate.follower = follower
        await asyncio.gather(follower.run(), gate.reporter.run())


def _ended(router: "asyncio.Task[None]") -> None:
    """None should, but at the end."""
    if not router.cancelled():
        logging.error("a router has ended", exc_info=router.exception())


async def _run(url: str, directory: Path, state_dir: Path, first: int, count: int) -> None:
    base = load_snapshot(directory)
    assert base is not None
    base = replace(base, word=None)  # it was one router's
    notes = Notes()
    routers = [
        asyncio.create_task(_router(url, directory, state_dir, number, base, notes))
        for number in range(first, first + count)
    ]
    for each in routers:
        each.add_done_callback(_ended)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while await reader.readline():
        if not gc.get_freeze_count():
            # Else all routers of a process are looked through again and again for garbage.
            gc.freeze()
        print(json.dumps(asdict(notes)), flush=True)
        notes.came.clear()
        notes.asked.clear()
        notes.answered.clear()
    for each in routers:
        each.cancel()


if __name__ == "__main__":
    _url, _directory, _state, _first, _count = sys.argv[1:]
    # What is measured is the registry: the crowd shares its CPUs.
    uvloop.run(_run(_url, Path(_directory), Path(_state), int(_first), int(_count)))
