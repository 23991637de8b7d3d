"""Answers for changes, one after the other, over as few requests as can be."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress

import httpx

from control.errors import UnreachableError
from control.stream import NDJSON, Said, Stream

log = logging.getLogger(__name__)

# Seconds; connecting may take 15. A line comes at once; where none does, something on the way
# collects them: then answers are asked for one by one for a while.
FIRST_LINE = 20.0
ONE_BY_ONE = 600.0

_WHOLE = "application/json"
_LINES = f"{NDJSON}, {_WHOLE};q=0.9"

# What came after a revision is asked for, and a media type accepted.
Ask = Callable[[int, str], AbstractAsyncContextManager[httpx.Response]]


class Following:
    """`unread`: for how many seconds lines may lie unread and yet be taken for new."""

    def __init__(self, url: str, ask: Ask, unread: float) -> None:
        self._url = url
        self._ask = ask
        self._unread = unread
        self._stream: Stream | None = None
        self._one_by_one_until = 0.0

    async def next(self, after: int) -> Said:
        """The next line, or the first of another stream. Raises BadWordError, UnreachableError,
        and what httpx does."""
        if self._stream is not None and self._stream.follows(after, self._unread):
            said = await self._stream.next()
            if said is not None:
                return said
        await self.hang_up()
        if time.monotonic() < self._one_by_one_until:
            return await self._begin(after, _WHOLE)
        try:
            async with asyncio.timeout(FIRST_LINE):
                return await self._begin(after, _LINES)
        except TimeoutError:
            await self.hang_up()
            self._one_by_one_until = time.monotonic() + ONE_BY_ONE
            log.warning(
                "registry %s: something on the way collects its answers; changes are asked for "
                "one by one: let the proxy there pass on at once what comes",
                self._url,
            )
            return await self._begin(after, _WHOLE)

    def went_to(self, revision: int) -> None:
        """What was said led there: the next line goes on from it."""
        if self._stream is not None:
            self._stream.after = revision

    async def hang_up(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(httpx.HTTPError):
                await stream.close()

    async def _begin(self, after: int, accepted: str) -> Said:
        held = AsyncExitStack()
        response = await held.enter_async_context(self._ask(after, accepted))
        self._stream = Stream(response, held, after)
        said = await self._stream.next()
        if said is None:
            raise UnreachableError(f"registry {self._url}: its answer for changes ended at once")
        return said
