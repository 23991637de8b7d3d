"""Questions to routers in this process: whose router is to be told, and who waits for an answer."""

import asyncio
from contextlib import suppress
from functools import partial

from api.registry import questions
from api.registry.core import Registry
from api.routes.streams import to_its_end
from api.watch import Watch


class Desk:
    """Lives on one event loop. While nobody asks, it is a look at the database now and then."""

    def __init__(self, registry: Registry, watch: Watch) -> None:
        self._registry = registry
        self._watch = watch
        self._news = asyncio.Event()
        # The newest question that each router has not taken.
        self._untaken: dict[str, int] = {}
        self._waiting: dict[int, asyncio.Event] = {}

    def newest(self, router: str | None) -> int:
        """The newest question that this router has not taken; 0 where there is none."""
        return 0 if router is None else self._untaken.get(router, 0)

    def open(self) -> None:
        self._news = asyncio.Event()

    def announce(self, _number: int = 0) -> None:
        """Something was asked or answered, here or elsewhere."""
        self._news.set()

    def close(self) -> None:
        """Nobody waits any more: the service ends."""
        for answered in self._waiting.values():
            answered.set()

    async def wait(self, number: int, seconds: float) -> None:
        """Until this question is answered, time is up, or the service ends."""
        self._waiting[number] = answered = asyncio.Event()
        try:
            self.announce()
            async with asyncio.timeout(seconds):
                await answered.wait()
        except TimeoutError:
            pass
        finally:
            del self._waiting[number]

    async def look(self, seconds: float) -> None:
        """When there is news, or after so many seconds at the latest: tell those whom it is for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        self._news.clear()
        found = await to_its_end(partial(questions.every_open, self._registry))
        before, self._untaken = self._untaken, {q.router: q.id for q in found if not q.taken}
        for router, number in self._untaken.items():
            if before.get(router) != number:
                self._watch.rouse(router)
        for each in found:
            if each.answered and (answered := self._waiting.get(each.id)) is not None:
                answered.set()
