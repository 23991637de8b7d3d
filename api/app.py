"""The application, made from its settings."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from uuid import uuid4

from fastapi import Depends, FastAPI
from starlette.concurrency import run_in_threadpool

from api.database import open_store
from api.deliver import deliver
from api.errors import ApiError
from api.event_records import KeptEvent
from api.feed.changes import ChangesFeed
from api.feed.snapshots import SnapshotFeed
from api.feed.spans import Spans
from api.known import KnownCallers
from api.limits import BodyLimit
from api.oidc import Oidc
from api.ongoing import EndsWithToken, Ongoing
from api.openapi import describe, refuse_unknown_queries
from api.origin import Origins
from api.outbound import Sender
from api.problems import add_handlers
from api.registry import tokens as token_rules
from api.registry.attention import Attention
from api.registry.core import Clock, Registry, utc_now
from api.registry.deliveries import Deliverer
from api.registry.events import after
from api.registry.rollout import release_due
from api.registry.upkeep import upkeep
from api.routes import (
    allowlist,
    audit,
    events,
    expiring,
    export,
    gateways,
    health,
    imports,
    intake,
    moves,
    peers,
    policy,
    proposals,
    revisions,
    rollout,
    routers,
    rules,
    sightings,
    streams,
    tokens,
    webhooks,
)
from api.routes.event_feed import BATCH, Feed
from api.settings import Settings
from api.signing import Signer
from api.store.notices import Channel
from api.throttle import Throttle
from api.watch import Watch

_log = logging.getLogger("peergate.api")
# Seconds from a connection that was lost to the next one that hears of other processes' writes.
_LISTEN_AGAIN = 1.0
# Seconds between two looks at whether those who wait still may.
_REVOKED_AGAIN = 0.5
# Seconds between looks for what happens because nothing is done.
_ATTENTION = 15.0


def create_app(settings: Settings, *, clock: Clock = utc_now) -> FastAPI:
    """`app.state.let_go()` lets go of waiting requests, so that a server can stop."""
    watch, happened = Watch(), Watch()
    ongoing = Ongoing()
    sender = Sender(private=settings.private_webhooks)
    store = open_store(settings)
    registry = Registry(
        store,
        clock=clock,
        ended_kept=settings.ended_kept,
        kept_revisions=settings.kept_revisions,
        announce=watch.announce,
        tell=happened.announce,
    )
    app = FastAPI(
        title="peergate registry",
        version="1",
        summary="Only registered peers reach your tunnel gateways",
        # Both pages would load scripts from third parties.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(settings, registry, watch, happened, ongoing, sender),
        dependencies=[Depends(refuse_unknown_queries)],
    )
    app.state.settings = settings
    app.state.registry = registry
    app.state.watch = watch
    app.state.throttle = Throttle()
    app.state.oidc = None if settings.oidc is None else Oidc(settings.oidc)
    app.state.imports = streams.Places(intake.AT_ONCE, "imports")
    app.state.streams = streams.Places(streams.AT_ONCE, "exports")
    spans = Spans(registry, watch)
    signer = Signer(settings.key_file)
    app.state.signer = signer
    app.state.known_callers = KnownCallers(registry)
    app.state.changes = ChangesFeed(registry, spans, signer)
    app.state.snapshots = SnapshotFeed(registry, spans, signer)
    large = dict.fromkeys(imports.PATHS, settings.max_import)
    app.add_middleware(BodyLimit, limit=settings.max_body, large=large)
    app.add_middleware(EndsWithToken, ongoing=ongoing)
    app.state.happened = happened
    app.state.sender = sender
    app.state.feed = Feed(happened, partial(_events, registry))
    app.state.let_go = partial(_close, watch, happened)
    app.add_middleware(Origins, trusted=settings.trusted_proxies)
    add_handlers(app)
    parts = (
        # First what a thousand routers ask: routes are looked through in this order.
        allowlist,
        routers,
        health,
        gateways,
        export,
        imports,
        expiring,
        peers,
        proposals,
        moves,
        policy,
        rules,
        sightings,
        tokens,
        audit,
        revisions,
        rollout,
        events,
        webhooks,
    )
    for part in parts:
        app.include_router(part.router)
    describe(app)
    return app


def _close(*watches: Watch) -> None:
    for watch in watches:
        watch.close()


def _events(registry: Registry, number: int) -> tuple[KeptEvent, ...]:
    with registry.read() as read:
        return after(read.connection, number, BATCH)


def _lifespan(
    settings: Settings,
    registry: Registry,
    watch: Watch,
    happened: Watch,
    ongoing: Ongoing,
    sender: Sender,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    attention = Attention(registry, settings.remind_days)

    def keep_up() -> None:
        upkeep(registry, settings.replay_kept)

    def release() -> None:
        release_due(registry)

    def look() -> None:
        revision, event = registry.newest()
        watch.announce(revision)
        happened.announce(event)

    def end_revoked() -> None:
        if asking := ongoing.tokens():
            with registry.read() as read:
                ongoing.end(token_rules.lapsed(read, asking))

    async def listen() -> None:
        told = {Channel.REVISION: watch.announce, Channel.EVENT: happened.announce}
        await registry.store.listen(told)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        watch.open()
        happened.open()
        running = [
            asyncio.create_task(_again_and_again(_threaded(keep_up), settings.upkeep_seconds)),
            asyncio.create_task(_again_and_again(_threaded(release), settings.poll_seconds)),
            # Another process may write to the same database.
            asyncio.create_task(_again_and_again(_threaded(look), settings.poll_seconds)),
            asyncio.create_task(_again_and_again(_threaded(end_revoked), _REVOKED_AGAIN)),
            asyncio.create_task(_again_and_again(_threaded(attention.look), _ATTENTION)),
        ]
        deliverer = Deliverer(registry, str(uuid4()))
        running.append(asyncio.create_task(deliver(deliverer, sender, happened)))
        if registry.store.tells:
            running.append(asyncio.create_task(_again_and_again(listen, _LISTEN_AGAIN)))
        yield
        _close(watch, happened)
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        await sender.close()
        registry.store.close()

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


async def _again_and_again(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        try:
            await work()
        except ApiError as error:
            _log.warning("%s; trying again in %g s", error, seconds)
        await asyncio.sleep(seconds)
