"""Who waits for the next revision or event, and what wakes them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Watch:
    """Numbers that only grow. Lives on one event loop; `announce` alone is for any thread.

    `waiting` is how many do, `crowd` how many did when the last one came.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._number = 0
        self._closed = False
        self._named: dict[str, set[asyncio.Timeout]] = {}
        self.waiting = 0
        self.crowd = 0

    @property
    def newest(self) -> int:
        """The highest number that was announced."""
        return self._number

    @property
    def closed(self) -> bool:
        return self._closed

    def open(self) -> None:
        """From now on the running loop is the one whose tasks wait."""
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._closed = False

    def announce(self, number: int) -> None:
        """What has this number is safe on disk."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, number)

    def close(self) -> None:
        """Nobody waits any more: the service ends."""
        self._closed = True
        self._news.set()

    async def wait(self, after: int, seconds: float, name: str | None = None) -> None:
        """Until there is a number above `after`, time is up, or the service ends. Whoever has a
        name may be roused before."""
        self.waiting += 1
        try:
            async with asyncio.timeout(seconds) as limit:
                with self._reached_by(name, limit):
                    while self._number <= after and not self._closed:
                        await self._news.wait()
        except TimeoutError:
            pass
        finally:
            self.waiting -= 1

    def rouse(self, name: str) -> None:
        """For those of this name, time is up. On the event loop alone."""
        now = asyncio.get_running_loop().time()
        for limit in self._named.get(name, ()):
            if not limit.expired():
                limit.reschedule(now)

    @contextmanager
    def _reached_by(self, name: str | None, limit: asyncio.Timeout) -> Iterator[None]:
        if name is None:
            yield
            return
        those = self._named.setdefault(name, set())
        those.add(limit)
        try:
            yield
        finally:
            those.discard(limit)
            if not those and self._named.get(name) is those:
                del self._named[name]

    def _wake(self, number: int) -> None:
        if number > self._number:
            self._number = number
            self.crowd = self.waiting
            news, self._news = self._news, asyncio.Event()
            news.set()
