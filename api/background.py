"""What the service does beside answering: wakes, delivers, reminds, releases, clears away."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from uuid import uuid4

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from api.deliver import deliver
from api.desk import Desk
from api.metrics import Metrics
from api.ongoing import Ongoing
from api.outbound import Sender
from api.ownership import Ownership
from api.registry import questions, sessions, tokens
from api.registry.attention import Attention
from api.registry.core import Registry
from api.registry.cutover_watch import keep_time, look_for_drops
from api.registry.deliveries import Deliverer
from api.registry.rollout import release_due
from api.registry.upkeep import upkeep
from api.settings import Settings
from api.store.notices import Channel
from api.tasks import Task
from api.watch import Watch

_log = logging.getLogger("peergate.api")
# Seconds from a connection that was lost to the next one that hears of other processes' writes.
_LISTEN_AGAIN = 1.0
# Seconds between two looks at whether those who wait still may.
_REVOKED_AGAIN = 0.5
# Seconds for which questions and answers are gathered.
_TOGETHER = 0.02
# Seconds between looks for what happens because nothing is done.
_ATTENTION = 15.0
# Seconds from the first look of one to that of the next: each takes a connection of its own.
_APART = 0.05
# Seconds after the start, at most, before what can wait: who comes first has the database.
_CALM = 60.0

# By name: the work, and the seconds between two times.
Works = dict[str, tuple[Callable[[], Awaitable[None]], float]]


def close(*waited_at: Watch | Desk) -> None:
    for each in waited_at:
        each.close()


def lifespan_of(
    settings: Settings,
    registry: Registry,
    watch: Watch,
    happened: Watch,
    desk: Desk,
    ongoing: Ongoing,
    sender: Sender,
    ownership: Ownership,
    metrics: Metrics,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """From the first request to the last. At its end whoever waits is let go."""
    attention = Attention(registry, settings.remind_days)

    def keep_up() -> None:
        upkeep(registry, settings.replay_kept)

    def release() -> None:
        release_due(registry)

    def keep_cutovers() -> None:
        keep_time(registry)
        look_for_drops(registry)

    def look() -> None:
        revision, event = registry.newest()
        watch.announce(revision)
        happened.announce(event)

    def end_revoked() -> None:
        asking, signed_in = ongoing.tokens(), ongoing.sessions()
        if asking or signed_in:
            with registry.read() as read:
                lapsed = tokens.lapsed(read, asking)
                ongoing.end(lapsed, sessions.ended(read, signed_in))

    async def listen() -> None:
        told: dict[Channel, Callable[[int], None]] = {
            Channel.REVISION: watch.announce,
            Channel.EVENT: happened.announce,
            Channel.QUESTION: desk.announce,
        }
        await registry.store.listen(told)

    soon: Works = {
        "release": (_threaded(release), settings.poll_seconds),
        "cutovers": (_threaded(keep_cutovers), settings.poll_seconds),
        # Another process may write to the same database.
        "look": (_threaded(look), settings.poll_seconds),
        "revoked": (_threaded(end_revoked), _REVOKED_AGAIN),
        "questions": (partial(desk.look, settings.poll_seconds), _TOGETHER),
        "ownership": (_threaded(ownership.look), settings.poll_seconds),
    }
    later: Works = {
        "attention": (_threaded(attention.look), _ATTENTION),
        "forget": (_threaded(partial(questions.forget, registry)), _ATTENTION),
        "upkeep": (_threaded(keep_up), settings.upkeep_seconds),
    }

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        metrics.open()
        watch.open()
        happened.open()
        desk.open()
        tasks = [
            Task(name, work, seconds, registry, metrics, delay=place * _APART)
            for place, (name, (work, seconds)) in enumerate(soon.items())
        ]
        tasks += [
            Task(name, work, seconds, registry, metrics, delay=min(seconds, _CALM))
            for name, (work, seconds) in later.items()
        ]
        if registry.store.tells:
            tasks.append(Task("listen", listen, _LISTEN_AGAIN, registry, metrics, endless=True))
        running = [asyncio.create_task(task.run()) for task in tasks]
        deliverer = Deliverer(registry, str(uuid4()))
        running.append(asyncio.create_task(deliver(deliverer, sender, happened, metrics)))
        yield
        close(watch, happened, desk)
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        await sender.close()
        registry.store.close()
        metrics.close()

    return lifespan


def _threaded(work: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def threaded() -> None:
        thread = asyncio.create_task(run_in_threadpool(work))
        try:
            await asyncio.shield(thread)
        finally:
            # Also where this is cancelled: the thread has a connection to give back.
            await asyncio.wait((thread,))

    return threaded
