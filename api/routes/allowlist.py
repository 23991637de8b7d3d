"""/v1/allowlist: what routers follow. Answers are signed: docs/architecture.md says how."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse

from api.auth import NEEDS_TOKEN, FollowerOf, follower_of
from api.desk import Desk
from api.errors import ApiError
from api.feed.changes import Answer, ChangesFeed
from api.feed.snapshots import Snapshot, SnapshotFeed
from api.registry import routers
from api.registry.core import Registry
from api.registry.permissions import Caller
from api.routes.conventions import answer
from api.routes.event_stream import EventStream
from api.routes.models import AllowlistView, ChangesView, EndorsementView, KeysView
from api.routes.streams import NDJSON, disconnected
from api.signing import Signer
from api.watch import Watch
from policy.document import Moment, Name

router = APIRouter(prefix="/v1/allowlist", tags=["allowlist"])

# The end of a file whose beginning somebody has.
_FROM = re.compile(r"bytes=([0-9]{1,15})-")
_WAITING_PER_SECOND = 100
# Seconds that one answer goes on for: then a router is let in anew, perhaps by another process.
_GOES_ON = (300.0, 600.0)
# Of one answer by itself, what is `asked` in a line.
_ASKED = "Peergate-Asked"
_VARY = "Accept, Accept-Encoding"

_SIGNED: dict[str, Any] = {
    "Peergate-Statement": {
        "description": "JSON: registry, kind, view, after, revision, time, SHA-256 of the body",
        "schema": {"type": "string"},
    },
    "Peergate-Signature": {
        "description": "the registry's key and its signature of the statement (Ed25519), in base64",
        "schema": {"type": "string"},
    },
}
_RESPONSES: dict[int | str, dict[str, Any]] = {200: {"headers": _SIGNED}}
# The SHA-256 is of `changes`, which is what one answer by itself would be.
_LINE = {
    "type": "object",
    "properties": {
        "statement": {"type": "string", "description": "Peergate-Statement"},
        "signature": {"type": "string", "description": "Peergate-Signature"},
        "spread": {"type": "number", "description": "Peergate-Spread"},
        "changes": {"type": "string", "contentMediaType": "application/json"},
        "asked": {
            "type": "integer",
            "description": "where it is not 0, the router is asked something: "
            "`/v1/routers/{name}/questions` says what",
        },
    },
    "required": ["statement", "signature", "spread", "changes", "asked"],
}
_LINES: dict[int | str, dict[str, Any]] = {
    200: {"headers": _SIGNED, "content": {NDJSON: {"schema": _LINE}}}
}
_PARTS: dict[int | str, dict[str, Any]] = {
    **_RESPONSES,
    206: {"description": "The rest, where `Range` asked for it and `If-Range` holds"},
    304: {"description": "That of `If-None-Match` is the newest"},
}

AtLeast = Annotated[
    int | None,
    Query(
        ge=0, le=2**53, description="content with one of the last minute that is at this revision"
    ),
]


For = Annotated[
    Name | None,
    Query(
        alias="router",
        description="what this router gets: its gateways, in its stage of a roll-out. An agent's "
        "token gives that of its own router alone, whether it is named or not",
    ),
]


@router.get("", response_model=AllowlistView, responses=_PARTS, openapi_extra=NEEDS_TOKEN)
async def snapshot(
    request: Request, caller: FollowerOf, at_least: AtLeast = None, name: For = None
) -> Response:
    """The whole allowlist: all gateways, and every approved peer that has not long ended.

    Compressed with gzip where that is accepted. An ETag stands for one revision, as one process
    has written it; with it a compressed one can be gone on with (`Range`, `If-Range`).
    """
    feed: SnapshotFeed = request.app.state.snapshots
    meant = routers.seen_by(caller, name)
    found = await feed.get(meant, at_least)
    compressed = _accepts_gzip(request)
    etag = f'"{found.etag}-gzip"' if compressed else f'"{found.etag}"'
    headers = {**feed.signed(found, meant), "ETag": etag, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    if not compressed:
        headers["Content-Length"] = str(found.length)
        return _streamed(200, headers, found.plain())
    headers |= {"Content-Encoding": "gzip", "Accept-Ranges": "bytes"}
    return _rest(found, headers, _first(request, etag, found.size))


def _rest(found: Snapshot, headers: dict[str, str], first: int) -> Response:
    headers["Content-Length"] = str(found.size - first)
    if first:
        headers["Content-Range"] = f"bytes {first}-{found.size - 1}/{found.size}"
    status = 206 if first else 200
    return _streamed(status, headers, found.compressed(first, found.size))


def _first(request: Request, etag: str, size: int) -> int:
    """Where to go on; at the start where the one that was begun is another one."""
    asked = _FROM.fullmatch(request.headers.get("range", ""))
    if asked is None or request.headers.get("if-range") != etag or int(asked[1]) >= size:
        return 0
    return int(asked[1])


def _streamed(status: int, headers: dict[str, str], parts: Iterator[bytes]) -> Response:
    # A small one costs no turn of a thread for each part.
    small = int(headers["Content-Length"]) < 1 << 16
    content = b"".join(parts) if small else None
    if content is not None:
        return Response(content, status, headers, "application/json")
    streamed: AsyncIterator[bytes] = iterate_in_threadpool(parts)
    return StreamingResponse(streamed, status, headers, "application/json")


class _Lines(EventStream):
    media_type = NDJSON


@router.get("/changes", response_model=ChangesView, responses=_LINES, openapi_extra=NEEDS_TOKEN)
async def changes(
    request: Request,
    caller: FollowerOf,
    after: Annotated[int, Query(ge=0, le=2**53, description="the revision that you have")],
    wait: Annotated[float, Query(ge=0, le=60, description="wait so many seconds for news")] = 0,
    name: For = None,
    peergate_heard: Annotated[
        Moment | None,
        Header(
            description="when you were told that this is at `after`, as `Peergate-Statement` says"
        ),
    ] = None,
    peergate_asked: Annotated[
        str | None,
        Header(
            pattern="^[0-9]{1,20}$",
            description="the question to this router that you heard of last: of another one you "
            "are told at once",
        ),
    ] = None,
) -> Response:
    """What changed after a revision, as it is now. Waits until there is something to say.

    `Peergate-Spread` says over how many seconds routers should spread what they send because of
    it: so many wait here.

    Where `application/x-ndjson` is accepted the answer goes on: a line at once, one for each
    change after it, and one each `wait` seconds where nothing changed. It ends after some
    minutes, and where what comes next is an error or too long for a line: ask again.
    """
    feed: ChangesFeed = request.app.state.changes
    watch: Watch = request.app.state.watch
    desk: Desk = request.app.state.desk
    meant = routers.seen_by(caller, name)
    found = await feed.get(meant, after, peergate_heard)
    if found.quoted is not None and NDJSON in request.headers.get("accept", ""):
        lines = _Lines(
            _lines(feed, watch, desk, meant, found, max(wait, 1.0)), _goes_on(request, caller)
        )
        lines.headers["Vary"] = _VARY
        return lines
    knows = peergate_asked is None or str(desk.newest(meant)) in ("0", peergate_asked)
    waits = found.revision == after and wait > 0 and knows
    if waits and await _news(request, watch, after, wait, meant):
        found = await feed.get(meant, after)
    headers = feed.signed(found, meant)
    headers |= {"Peergate-Spread": f"{_spread(watch):.2f}", "Vary": _VARY}
    headers |= {_ASKED: str(desk.newest(meant))}
    return _whole(request, found, headers)


def _spread(watch: Watch) -> float:
    return watch.crowd / _WAITING_PER_SECOND


def _goes_on(request: Request, caller: Caller) -> float:
    """Seconds, not beyond the end of the token."""
    registry: Registry = request.app.state.registry
    longest = random.uniform(*_GOES_ON)
    if caller.expires is None:
        return longest
    return min(longest, (caller.expires - registry.clock()).total_seconds())


async def _lines(
    feed: ChangesFeed,
    watch: Watch,
    desk: Desk,
    meant: str | None,
    found: Answer,
    wait: float,
) -> AsyncIterator[str]:
    while found.quoted is not None and not watch.closed:
        asked = desk.newest(meant)
        yield feed.line(found, found.quoted, meant, _spread(watch), asked)
        if desk.newest(meant) in (0, asked):
            await watch.wait(found.revision, wait, meant)
        try:
            found = await feed.get(meant, found.revision)
        except ApiError:
            return  # who asks again is told


async def _news(request: Request, watch: Watch, after: int, wait: float, meant: str | None) -> bool:
    """False once nobody listens any more."""
    news = asyncio.create_task(watch.wait(after, wait, meant))
    gone = asyncio.create_task(disconnected(request.receive))
    try:
        await asyncio.wait((news, gone), return_when=asyncio.FIRST_COMPLETED)
        return news.done()
    finally:
        news.cancel()
        gone.cancel()


def _whole(request: Request, found: Answer, headers: dict[str, str]) -> Response:
    if found.compressed is None or not _accepts_gzip(request):
        return Response(found.body, 200, headers, "application/json")
    headers["Content-Encoding"] = "gzip"
    return Response(found.compressed, 200, headers, "application/json")


@router.get(
    "/keys",
    response_model=KeysView,
    dependencies=[Depends(follower_of)],
    openapi_extra=NEEDS_TOKEN,
)
async def keys(request: Request) -> Response:
    """The key that signs, and how each key before it made the next one known."""
    signer: Signer = request.app.state.signer
    endorsements = [
        EndorsementView(statement=each.statement, signature=each.signature)
        for each in signer.endorsements
    ]
    return answer(KeysView(key=signer.public, endorsements=endorsements))


def _accepts_gzip(request: Request) -> bool:
    accepted = request.headers.get("accept-encoding", "").lower().replace(" ", "").split(",")
    return "gzip" in accepted or "gzip;q=1" in accepted or "gzip;q=1.0" in accepted
