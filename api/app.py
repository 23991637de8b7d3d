"""The application, made from its settings."""

import asyncio
from collections.abc import Sequence
from functools import cache, partial

from fastapi import APIRouter, Depends, FastAPI
from starlette.concurrency import run_in_threadpool

from api.background import close, lifespan_of
from api.database import open_store
from api.desk import Desk
from api.door import Door
from api.errors import ApiError
from api.event_records import KeptEvent
from api.feed.changes import ChangesFeed
from api.feed.snapshots import SnapshotFeed
from api.feed.spans import Spans
from api.gathered import Gathered
from api.known import KnownCallers
from api.limits import MOST, BodyLimit
from api.metrics import Measured, Metrics
from api.oidc import Oidc
from api.oidc_sign_in import SignIn
from api.ongoing import EndsWithToken, Ongoing
from api.openapi import describe, refuse_unknown_queries
from api.origin import Origins
from api.outbound import Sender
from api.ownership import Ownership
from api.problems import add_handlers
from api.registry import reports
from api.registry.core import Clock, Registry, utc_now
from api.registry.events import after
from api.registry.reports import Said
from api.registry.stranger_reports import StrangerReports
from api.reverse import ReverseNames
from api.routes import (
    allowlist,
    audit,
    cutovers,
    events,
    expiring,
    export,
    gateways,
    health,
    imports,
    intake,
    metrics,
    moves,
    page,
    peers,
    policy,
    proposals,
    questions,
    rates,
    readiness,
    revisions,
    rollout,
    routers,
    rules,
    session,
    sightings,
    sign_in,
    sign_offs,
    stranger_reports,
    strangers,
    streams,
    tokens,
    webhooks,
)
from api.routes.event_feed import BATCH, Feed
from api.settings import Settings
from api.signing import Signer
from api.throttle import Throttle
from api.watch import Watch

# Of a crowd's reports some are one transaction: a router alone costs four times as much.
_REPORTS_SECONDS = 0.05
_REPORTS = 200
# Bodies that may have more than others: policies, and what routers with thousands of gateways say.
_LARGE = (
    "/v1/policy",
    *(f"/v1/routers/{{name}}/{what}" for what in ("report", "seen", "strangers")),
)


@cache
def _routes() -> APIRouter:
    """Made once in a process: FastAPI prepares each at its first request, which takes long."""
    routes = APIRouter(dependencies=[Depends(refuse_unknown_queries)])
    parts = (
        # First what a thousand routers ask: routes are looked through in this order.
        allowlist,
        routers,
        health,
        metrics,
        gateways,
        rates,
        readiness,
        cutovers,
        export,
        imports,
        expiring,
        peers,
        proposals,
        moves,
        policy,
        rules,
        sightings,
        questions,
        strangers,
        stranger_reports,
        sign_offs,
        tokens,
        session,
        audit,
        revisions,
        rollout,
        events,
        webhooks,
    )
    for part in parts:
        routes.include_router(part.router)
    routes.routes += [*page.routes(), *sign_in.routes()]
    return routes


def create_app(settings: Settings, *, clock: Clock = utc_now) -> FastAPI:
    """`app.state.let_go()` lets go of waiting requests, so that a server can stop."""
    watch, happened = Watch(), Watch()
    measured = Metrics()
    ongoing = Ongoing()
    sender = Sender(private=settings.private_webhooks)
    ownership = Ownership(settings.prefixes_file)
    store = open_store(settings)
    registry = Registry(
        store,
        clock=clock,
        ended_kept=settings.ended_kept,
        kept_revisions=settings.kept_revisions,
        announce=watch.announce,
        tell=happened.announce,
        changed=measured.changed,
    )
    desk = Desk(registry, watch)
    measured.watch(registry, lambda: watch.waiting)
    app = FastAPI(
        title="peergate registry",
        version="1",
        summary="Only registered peers reach your tunnel gateways",
        # Both pages would load scripts from third parties.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan_of(
            settings, registry, watch, happened, desk, ongoing, sender, ownership, measured
        ),
        routes=[*_routes().routes],
    )
    app.state.settings = settings
    app.state.registry = registry
    app.state.watch = watch
    app.state.desk = desk
    app.state.throttle = Throttle()
    app.state.metrics = measured
    app.state.scrapes = asyncio.Lock()
    signer = Signer(settings.key_file)
    app.state.signer = signer
    app.state.reports = Gathered(
        partial(_keep_reports, registry, signer), _REPORTS_SECONDS, _REPORTS
    )
    app.state.oidc = oidc = None if settings.oidc is None else Oidc(settings.oidc)
    app.state.sign_in = None
    if oidc is not None and settings.oidc is not None and settings.oidc.sign_in is not None:
        app.state.sign_in = SignIn(oidc, settings.oidc.sign_in)
    app.state.imports = streams.Places(intake.AT_ONCE, "imports")
    app.state.streams = streams.Places(streams.AT_ONCE, "exports")
    app.state.ownership = ownership
    app.state.reverse_names = ReverseNames(settings.resolver)
    app.state.stranger_reports = StrangerReports(
        registry, settings.kept_strangers_of_gateway, settings.kept_strangers
    )
    app.state.stranger_places = streams.Places(stranger_reports.AT_ONCE, "reports of strangers")
    spans = Spans(registry, watch)
    app.state.known_callers = KnownCallers(registry)
    app.state.changes = ChangesFeed(registry, spans, signer)
    app.state.snapshots = SnapshotFeed(registry, spans, signer)
    large = dict.fromkeys(imports.PATHS, settings.max_import)
    large |= dict.fromkeys(_LARGE, settings.max_body)
    app.add_middleware(Door)
    app.add_middleware(BodyLimit, limit=min(MOST, settings.max_body), large=large)
    app.add_middleware(EndsWithToken, ongoing=ongoing)
    app.state.happened = happened
    app.state.sender = sender
    app.state.feed = Feed(happened, partial(_events, registry))
    app.state.let_go = partial(close, watch, happened, desk)
    app.add_middleware(Origins, trusted=settings.trusted_proxies)
    app.add_middleware(Measured, metrics=measured)
    add_handlers(app)
    describe(app)
    return app


async def _keep_reports(
    registry: Registry, signer: Signer, said: Sequence[Said]
) -> Sequence[ApiError | None]:
    return await run_in_threadpool(reports.keep, registry, signer, said)


def _events(registry: Registry, number: int) -> tuple[KeptEvent, ...]:
    with registry.read() as read:
        return after(read.connection, number, BATCH)
