"""The agent: fetch or read, plan, apply, report; and keep what is in force true.

Everything that touches maps or links blocks, so it runs in a thread, one call at a
time. Ending the agent leaves program and maps in force.
"""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from prometheus_client import generate_latest

from control import lease, links, pins, state
from control.allowlist import Changes
from control.answering import Answering
from control.boot import Start, awaited, start
from control.errors import ControlError, DataPlaneError, LinkError
from control.exposition import Exposition
from control.follow import Follower
from control.interfaces import Uplinks
from control.lock import only_agent, only_agent_on
from control.metrics import Metrics
from control.model import Allowlist
from control.observer import Observer
from control.policyfile import PolicyFile
from control.registry import RegistryClient
from control.report import Reporter, report
from control.settings import Settings
from control.snapshot import save_snapshot
from control.trouble import Trouble
from control.trust import Trust
from control.turns import some
from control.witness import Witness
from policy.errors import PolicyError
from policy.window import from_ns

log = logging.getLogger(__name__)

T = TypeVar("T")

# "alive" comes whenever the loop has been round: maps, clock and state were worked on.
Tell = Callable[[Literal["ready", "alive", "stopping"]], None]

TICK = 1.0
SAVE_TIME_EVERY = 60.0
# At most this part of the time goes into writing snapshots, however large they are.
SAVING_SHARE = 0.1


def run_agent(settings: Settings, policy: Path | None = None, tell: Tell = lambda _: None) -> int:
    """Run until SIGTERM or SIGINT; the exit status. "ready" is told once all is in place."""
    # While one thread parses a large snapshot, a change waits no longer than this at each turn.
    sys.setswitchinterval(0.001)
    try:
        state.prepare(settings.state_dir)
        with only_agent(settings.state_dir):
            pins.ensure_bpffs(settings.bpffs)
            with only_agent_on(settings.bpffs):
                asyncio.run(_run(settings, policy, tell))
    except ControlError as error:
        log.error("%s", error.message)
        return 1
    return 0


async def _run(settings: Settings, policy: Path | None, tell: Tell) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        client = None
        if policy is None:
            client = await stack.enter_async_context(RegistryClient.of(settings))
        started = await asyncio.to_thread(start, settings, policy)
        stack.callback(started.gate.close)
        agent = Agent(settings, policy, client, started, tell)
        stack.push_async_callback(agent.save)
        await agent.begin()
        await _first_of(stop.wait(), *agent.tasks())
        tell("stopping")
    log.info("stopped: program and maps stay in force")


async def _first_of(*coroutines: Coroutine[object, object, object]) -> None:
    """Run all until one ends, cancel the others; raises what that one raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Agent:
    """The concurrent parts around one gate."""

    def __init__(
        self,
        settings: Settings,
        policy: Path | None,
        client: RegistryClient | None,
        started: Start,
        tell: Tell,
    ) -> None:
        self._settings = settings
        self._gate = started.gate
        self._file = None if policy is None else PolicyFile(policy, settings.state_dir)
        self._file_stamp = started.file_stamp
        self._client = client
        self._tell = tell
        self._programs = pins.Programs(settings.bpffs)
        self._uplinks = Uplinks(settings.interfaces, settings.attach, self._programs, self._leased)
        self._one_at_a_time = asyncio.Lock()
        self._old_sets_may_be_there = True
        self._attached = False
        self._saved: Allowlist | None = started.snapshot
        self._to_save = asyncio.Event()
        self._to_remember = asyncio.Event()
        self._to_check_links = asyncio.Event()
        self._to_verify = asyncio.Event()
        self._reporter = Reporter(
            client,
            settings,
            lambda: self._do(self._report),
            lambda told: self._gate.clock.hear(told.said, told.sent, told.came),
        )
        self._witness = (
            None
            if client is None
            else Witness(client, settings, lambda: self._do(lambda: self._gate.plane.seen()))
        )
        self._answering = (
            None if client is None else Answering(client, settings.router, self._gate, self._do)
        )
        self._observer = Observer(self._gate, settings, client, self._do)
        self._follower = (
            None
            if client is None
            else Follower(
                client,
                settings.state_dir,
                self,
                self._reporter.send,
                Trust(settings.state_dir, settings.registry_key),
                self._base(started),
                None if started.snapshot is None else started.snapshot.word,
            )
        )

        self._metrics = Metrics(self._gate, settings, self._uplinks, self._follower)

    def _leased(self) -> int | None:
        """Not while tables grow: a program over the old ones would keep these in force."""
        return None if self._gate.outgrown else lease.holder(self._settings.state_dir)

    def _base(self, started: Start) -> Allowlist | None:
        """What was started from, where changes can go on from it."""
        snapshot = started.snapshot
        if snapshot is None or snapshot.word is None or self._gate.applied is not snapshot:
            return None
        return snapshot

    def _report(self) -> dict[str, object]:
        follower = self._follower
        heard, word = (None, None) if follower is None else (follower.heard, follower.word)
        uplinks = self._uplinks
        return report(self._gate, uplinks.states, uplinks.put_back, heard, word)

    def tasks(self) -> list[Coroutine[object, object, None]]:
        coroutines = [
            self._tick(),
            self._verify(),
            self._save_snapshots(),
            self._remember(),
            self._check_links(),
            self._observer.look(),
            self._observer.tell(),
            links.follow(frozenset(self._settings.interfaces), self._to_check_links.set),
        ]
        if self._settings.metrics_listen is not None:
            coroutines.append(Exposition(self._settings.metrics_listen, self._scrape).run())
        if self._witness is not None:
            coroutines.append(self._witness.run())
        if self._answering is not None:
            coroutines.append(self._answering.run())
        if self._follower is not None:
            return [*coroutines, self._follower.run(), self._reporter.run()]
        return [*coroutines, self._follow_file()]

    async def begin(self) -> None:
        """Attach, if there is something to attach.

        Raises LinkError where no interface took it, and none is yet to come.
        """
        if self._gate.filled:
            self._to_save.set()
            # Asked before: an interface that comes while we try is no failure.
            some_to_come = await asyncio.to_thread(awaited, self._settings.interfaces)
            await self._attach()
            if not self._attached and not some_to_come:
                raise LinkError("the program is attached to none of the configured interfaces")
        else:
            log.warning("no allowlist yet: nothing is attached before the first one")
        self._tell("ready")

    async def _do(self, work: Callable[[], T]) -> T:
        async with self._one_at_a_time:
            return await asyncio.to_thread(work)

    # Allowlists

    async def offer(self, allowlist: Allowlist) -> None:
        await self._offer(allowlist, lambda: self._gate.offer(allowlist))

    async def follow(self, base: Allowlist, changes: Changes, allowlist: Allowlist) -> None:
        await self._offer(allowlist, lambda: self._gate.follow(base, changes, allowlist))

    async def _offer(self, allowlist: Allowlist, work: Callable[[], bool]) -> None:
        if await self._do(work):
            self._metrics.in_force(allowlist)
            await self._in_force()
        elif self._gate.outgrown:  # larger tables, but what they were made for was refused
            await self._attach()
        self._to_remember.set()
        self._reporter.soon.set()

    async def _in_force(self) -> None:
        self._to_save.set()
        self._reporter.soon.set()
        if not self._attached or self._gate.outgrown:
            await self._attach()

    async def _follow_file(self) -> None:
        assert self._file is not None
        while True:
            await asyncio.sleep(TICK / 2)
            stamp = await asyncio.to_thread(self._file.stamp)
            if stamp == self._file_stamp:
                continue
            self._file_stamp = stamp
            try:
                allowlist = await asyncio.to_thread(self._file.load, from_ns(self._gate.now()))
            except PolicyError as error:
                self._file.log_refusal(error)
            except ControlError as error:
                log.error("%s", error.message)
            else:
                await self.offer(allowlist)

    # Links

    async def _attach(self) -> None:
        before = self._uplinks.states, self._uplinks.put_back
        everywhere = await self._do(self._ensure_attached)
        if before != (self._uplinks.states, self._uplinks.put_back):
            self._reporter.soon.set()
        if any(uplink.attached for uplink in self._uplinks.states):
            self._attached = True
        if everywhere and self._old_sets_may_be_there and not self._gate.outgrown:
            self._old_sets_may_be_there = False
            try:
                await self._do(self._drop_old_sets)
            except ControlError as error:
                log.error("%s", error.message)

    def _ensure_attached(self) -> bool:
        """Whether every interface has the program over the tables that there are now."""
        plane = self._gate.plane
        everywhere = self._uplinks.ensure_attached(plane.program_fd, frags=plane.frags)
        if self._gate.outgrown:
            self._old_sets_may_be_there = True
            attached = {n for each in links.attachments() for _, n in each.programs}
            self._gate.drop_outgrown(attached)
        return everywhere

    def _drop_old_sets(self) -> None:
        """Remove the maps of agents before, unless a program elsewhere still uses them."""
        for other in links.attachments():
            for _, program in other.programs:
                if program != self._gate.plane.program_id and self._programs.is_ours(program):
                    log.warning(
                        "%s still has program %d of an agent before, and is not among `interfaces`",
                        other.interface,
                        program,
                    )
                    return
        for directory in pins.sets(self._settings.bpffs):
            if directory != self._gate.plane.pin_dir:
                pins.remove_set(directory)
                log.info("%s: the maps of an agent before are removed", directory)

    async def _check_links(self) -> None:
        while True:
            await self._to_check_links.wait()
            self._to_check_links.clear()
            if self._gate.filled:
                await self._attach()

    # Time and truth

    async def _tick(self) -> None:
        saved_at = time.monotonic()
        trouble = Trouble("the clock of the maps")
        while True:
            try:
                jump = await self._do(self._gate.keep_time)
                if jump or self._gate.due <= self._gate.now():
                    await self._do(self._gate.retime)
                if self._uplinks.lapsed():
                    self._to_check_links.set()
                if jump:  # what was surely valid then may not have begun now
                    self._to_verify.set()
                if self._gate.held is not None and await self._do(self._gate.reconsider):
                    await self._in_force()
                    self._to_remember.set()
                if time.monotonic() - saved_at > SAVE_TIME_EVERY:
                    saved_at = time.monotonic()
                    await asyncio.to_thread(self._save_time)
                trouble.now(None)
            except ControlError as error:
                trouble.now(error.message)
            self._tell("alive")
            await asyncio.sleep(self._until_next_tick())

    def _until_next_tick(self) -> float:
        return min(TICK, max(0.0, (self._gate.due - self._gate.now()) / 1e9))

    async def _scrape(self) -> bytes:
        """What a Prometheus reads. Entries are counted in turns, as they are verified."""
        steps = self._metrics.count()
        while await self._do(partial(some, steps)):
            pass
        return await self._do(lambda: generate_latest(self._metrics.registry))

    async def _verify(self) -> None:
        trouble = Trouble("the check of the maps")
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._to_verify.wait(), self._settings.verify_every)
            self._to_verify.clear()
            steps = self._gate.verify()
            repairs = self._gate.repairs
            try:
                while await self._do(partial(some, steps)):
                    pass
                if self._gate.repairs > repairs:
                    self._reporter.soon.set()
                trouble.now(None)
            except DataPlaneError as error:
                trouble.now(error.message)
            self._to_check_links.set()

    # Disk

    async def _remember(self) -> None:
        while True:
            await asyncio.to_thread(self._gate.remember)
            await self._to_remember.wait()
            self._to_remember.clear()

    async def _save_snapshots(self) -> None:
        while True:
            await self._to_save.wait()
            self._to_save.clear()
            began = time.monotonic()
            await asyncio.to_thread(self._save_snapshot)
            await asyncio.sleep((time.monotonic() - began) * (1 / SAVING_SHARE - 1))

    def _save_snapshot(self) -> None:
        allowlist = self._gate.applied
        if allowlist is None or allowlist is self._saved:
            return
        try:
            save_snapshot(self._settings.state_dir, allowlist)
            self._saved = allowlist
        except ControlError as error:
            log.error("%s", error.message)

    def _save_time(self) -> None:
        state.save_time(self._settings.state_dir, self._gate.now())

    async def save(self) -> None:
        """What is in force, and the time, on disk before we end."""
        await asyncio.to_thread(self._gate.remember)
        await asyncio.to_thread(self._save_snapshot)
        try:
            await asyncio.to_thread(self._save_time)
        except ControlError as error:
            log.error("%s", error.message)
