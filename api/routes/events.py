"""/v1/events: what happened, as it happens."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.auth import CallerOf, RegistryOf, needs
from api.errors import ConflictError, GoneError, UnavailableError
from api.event_records import KeptEvent
from api.event_types import EventType
from api.registry import events, tokens
from api.registry.core import Registry
from api.registry.permissions import Caller, Permission
from api.routes.event_feed import BATCH, Feed
from api.routes.event_stream import EventStream
from api.routes.events_models import EventView
from policy.document import Moment

router = APIRouter(prefix="/v1/events", tags=["events"])
# Proxies and clients close what is quiet for longer.
_HEARTBEAT = 15.0
# While the database is away.
_AGAIN = 1.0
_EXAMPLE = (
    'id: 7\nevent: peer.approved\ndata: {"id":7,"time":"2026-11-28T12:00:00Z",'
    '"type":"peer.approved","author":"alice","subject":"1","count":1,"revision":2,'
    '"content":{"name":"branch-7","gateway":"hub"}}\n\n'
)
# Of each event: a stream as a whole has none.
_SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"type": "string", "enum": [each.value for each in EventType]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["id", "event", "data"],
}


@router.get(
    "",
    dependencies=[Depends(needs(Permission.READ))],
    response_class=EventStream,
    status_code=200,
    responses={
        200: {
            "description": "Server-sent events; each one's `data` is the event as JSON",
            "content": {"text/event-stream": {"schema": _SCHEMA, "example": _EXAMPLE}},
        }
    },
)
def stream_events(
    request: Request,
    registry: RegistryOf,
    caller: CallerOf,
    types: Annotated[list[EventType] | None, Query(description="only these; repeatable")] = None,
    after: Annotated[
        int | None, Query(ge=0, le=2**53, description="the number of the last one that you have")
    ] = None,
    since: Annotated[Moment | None, Query(description="from this time on")] = None,
    follow: Annotated[
        bool, Query(description="wait for what happens; else end after what there is")
    ] = True,
    last_event_id: Annotated[
        str | None,
        Header(pattern="^[0-9]{1,15}$", description="as `after`, and wins: browsers send it"),
    ] = None,
) -> Response:
    """What happened, in its order. Without a place to start from: all that is kept where the
    stream ends, else what happens from now on. Lines `id:` without an event move your place on."""
    number = after if last_event_id is None else int(last_event_id)
    with registry.read() as read:
        place = events.start(read.connection, number, since, earlier=not follow)
    wanted = frozenset(types or EventType)
    feed: Feed = request.app.state.feed
    stream = Stream(registry, feed, caller, wanted, follow)
    return EventStream(stream.pieces(place))


@dataclass(frozen=True, slots=True)
class Stream:
    registry: Registry
    feed: Feed
    caller: Caller
    wanted: frozenset[EventType]
    follow: bool

    async def pieces(self, place: int) -> AsyncIterator[str]:
        # At the place at once: who is cut off before the first event comes back to it.
        yield f"retry: 2000\nid: {place}\n\n"
        shown = time.monotonic()
        while self.feed.open:
            quiet = _HEARTBEAT - (time.monotonic() - shown)
            left = self._seconds_left()
            if left <= 0:
                return
            found: Sequence[KeptEvent] = ()
            try:
                if self.follow:
                    found = await self.feed.after(place, min(max(quiet, 0), left), self.read)
                else:
                    found = await run_in_threadpool(self.read, place)
            except UnavailableError:
                await asyncio.sleep(_AGAIN)
            except (ConflictError, GoneError):
                # Too slow, or not welcome any more: told so when it comes back.
                return
            told, place, ended = self._told(found, place)
            if told or time.monotonic() - shown >= _HEARTBEAT:
                yield told or f": alive\nid: {place}\n\n"
                shown = time.monotonic()
            if ended or not (found or self.follow):
                return

    def _told(self, found: Sequence[KeptEvent], place: int) -> tuple[str, int, bool]:
        """The text of those that are wanted, the last one's number, and whether it is the end."""
        told = []
        for kept in found:
            place = kept.number
            if kept.event.type in self.wanted:
                told.append(_text(kept))
            if (kept.event.type, kept.event.subject) == (
                EventType.TOKEN_REVOKED,
                str(self.caller.token),
            ):
                return "".join(told), place, True
        return "".join(told), place, False

    def read(self, number: int) -> tuple[KeptEvent, ...]:
        """Of one that is far behind: the end of its token may be far ahead."""
        with self.registry.read() as read:
            if not tokens.lasts(read, self.caller):
                raise GoneError("the token does not work any more")
            return events.after(read.connection, number, BATCH)

    def _seconds_left(self) -> float:
        if self.caller.expires is None:
            return float("inf")
        return (self.caller.expires - self.registry.clock()).total_seconds()


def _text(kept: KeptEvent) -> str:
    data = EventView.of(kept).model_dump_json()
    return f"id: {kept.number}\nevent: {kept.event.type}\ndata: {data}\n\n"
