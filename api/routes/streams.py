"""Answers of any length: made in a thread while they are sent, out of one state of the registry."""

import asyncio
import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import BoundedSemaphore
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.auth import RegistryOf
from api.errors import ApiError, UnavailableError
from api.registry.core import Read, Registry

T = TypeVar("T")

NDJSON = "application/x-ndjson"
# A reader who takes nothing for so many seconds holds up the database's clean-up for nobody.
STALLED = 30.0
# Each holds a connection to the database.
AT_ONCE = 4

_log = logging.getLogger("peergate.api")


class Places:
    """How many of something this process does at once; who comes then is turned away."""

    def __init__(self, count: int, what: str) -> None:
        self._free = BoundedSemaphore(count)
        self._told = f"{count} {what} are under way here, which is as many as there may be"

    @contextmanager
    def taken(self) -> Iterator[None]:
        if not self._free.acquire(blocking=False):
            raise UnavailableError(f"{self._told}: try again", "busy")
        try:
            yield
        finally:
            self._free.release()


class Stream(Response):
    """What a generator makes; `held` is given back at the end, however that comes.

    An error on the way ends the connection before the answer's end, which HTTP shows the reader.
    """

    def __init__(
        self,
        pieces: Generator[bytes],
        media_type: str,
        headers: Mapping[str, str],
        held: ExitStack,
        stalled: float,
    ) -> None:
        super().__init__(None, 200, headers, media_type)
        del self.headers["content-length"]
        self._pieces = pieces
        self._held = held
        self._stalled = stalled

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(disconnected(receive))
        try:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            while (piece := await to_its_end(lambda: next(self._pieces, None))) is not None:
                if gone.done():
                    return
                async with asyncio.timeout(self._stalled):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            _log.warning("%s: its reader took nothing for %g s", scope["path"], self._stalled)
        except ApiError as error:
            _log.warning("%s: broken off: %s", scope["path"], error)
        finally:
            gone.cancel()
            await to_its_end(self._close)

    def _close(self) -> None:
        with self._held:
            self._pieces.close()


@contextmanager
def _one_state(registry: Registry, places: Places) -> Iterator[Read]:
    with places.taken(), registry.read() as read:
        yield read


class Streamed:
    """Answers with what is made of one state of the registry."""

    def __init__(self, registry: Registry, places: Places) -> None:
        self._registry = registry
        self._places = places

    def __call__(
        self,
        make: Callable[[Read], Generator[bytes]],
        media_type: str,
        headers: Callable[[Read], Mapping[str, str]] = lambda _: {},
    ) -> Response:
        with ExitStack() as stack:
            read = stack.enter_context(_one_state(self._registry, self._places))
            return Stream(make(read), media_type, headers(read), stack.pop_all(), STALLED)


def streamed_of(request: Request, registry: RegistryOf) -> Streamed:
    return Streamed(registry, request.app.state.streams)


StreamedOf = Annotated[Streamed, Depends(streamed_of)]


async def to_its_end(work: Callable[[], T]) -> T:
    """In a thread, and to its end also where this is cancelled: it has something to give back."""
    thread = asyncio.create_task(run_in_threadpool(work))
    try:
        return await asyncio.shield(thread)
    finally:
        await asyncio.wait((thread,))


async def disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
