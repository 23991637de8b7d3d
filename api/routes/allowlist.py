"""/v1/allowlist: what routers follow."""

import asyncio
import json
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.auth import CallerOf, RegistryOf, needs
from api.records import Gateway, Json, Peer
from api.registry import allowlist, peers, routers
from api.registry.core import Registry
from api.registry.permissions import Permission
from api.routes.models import AllowlistView, ChangesView
from api.watch import Watch
from policy.document import Name
from policy.window import rfc3339

follows = Depends(needs(Permission.FOLLOW))
router = APIRouter(prefix="/v1/allowlist", tags=["allowlist"], dependencies=[follows])


def _gateway(gateway: Gateway) -> Json:
    # By which labels it is assigned is not for routers.
    return gateway.spec.model_dump(mode="json", exclude={"routers"})


def _peer(peer: Peer) -> Json:
    return {"id": peer.id, **peers.content(peer)}


def _json(content: Json) -> Response:
    return Response(json.dumps(content, separators=(",", ":")), media_type="application/json")


For = Annotated[
    Name | None,
    Query(
        alias="router",
        description="what this router gets: its gateways, in its stage of a roll-out. An agent's "
        "token gives that of its own router alone, whether it is named or not",
    ),
]


@router.get("", response_model=AllowlistView)
def snapshot(registry: RegistryOf, caller: CallerOf, name: For = None) -> Response:
    """The whole allowlist: all gateways, and every approved peer that has not long ended."""
    meant = routers.seen_by(caller, name)
    with registry.read() as read:
        found = allowlist.snapshot(read, allowlist.view(read, meant))
    return _json(
        {
            "registry": found.registry,
            "revision": found.revision,
            "time": rfc3339(found.time),
            "gateways": [_gateway(gateway) for gateway in found.gateways],
            "peers": [_peer(peer) for peer in found.peers],
        }
    )


@router.get("/changes", response_model=ChangesView)
async def changes(
    request: Request,
    registry: RegistryOf,
    caller: CallerOf,
    after: Annotated[int, Query(ge=0, le=2**53, description="the revision that you have")],
    wait: Annotated[float, Query(ge=0, le=60, description="wait so many seconds for news")] = 0,
    name: For = None,
) -> Response:
    """What changed after a revision, as it is now. Waits until there is something to say."""
    meant = routers.seen_by(caller, name)
    found = await run_in_threadpool(_changes, registry, meant, after)
    if found.revision == after and wait > 0 and await _news(request, after, wait):
        found = await run_in_threadpool(_changes, registry, meant, after)
    return _json(
        {
            "registry": found.registry,
            "after": found.after,
            "revision": found.revision,
            "time": rfc3339(found.time),
            "gateways": {n: _gateway(g) if g else None for n, g in found.gateways.items()},
            "peers": {str(n): _peer(p) if p else None for n, p in found.peers.items()},
        }
    )


def _changes(registry: Registry, router: str | None, after: int) -> allowlist.Changes:
    with registry.read() as read:
        then = allowlist.view(read, router, after)
        return allowlist.changes(read, then, allowlist.view(read, router))


async def _news(request: Request, after: int, wait: float) -> bool:
    """False once nobody listens any more."""
    watch: Watch = request.app.state.watch
    news = asyncio.create_task(watch.wait(after, wait))
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((news, gone), return_when=asyncio.FIRST_COMPLETED)
        return news.done()
    finally:
        news.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
