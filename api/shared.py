"""Work that many wait for is done once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class _Entry(Generic[V]):
    task: asyncio.Task[V]
    until: float  # on the loop's clock; while it is made, without end


class Shared(Generic[K, V]):
    """Values by key, on one event loop. Whoever asks for one while it is made waits for that
    one; afterwards it is kept for `seconds`, and at most `most` of them are. Errors are not kept.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._entries: dict[K, _Entry[V]] = {}

    async def get(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        now = asyncio.get_running_loop().time()
        entry = self._entries.get(key)
        if entry is None or entry.until <= now:
            entry = self._start(key, make)
        # Whoever goes away does not take it from the others.
        return await asyncio.shield(entry.task)

    def _start(self, key: K, make: Callable[[], Awaitable[V]]) -> _Entry[V]:
        async def made() -> V:
            return await make()

        task = asyncio.create_task(made())
        entry = _Entry(task, float("inf"))
        self._entries.pop(key, None)
        self._entries[key] = entry
        for old in list(self._entries)[: -self._most]:
            del self._entries[old]

        def done(task: asyncio.Task[V]) -> None:
            entry.until = task.get_loop().time() + self._seconds
            # Asked for also where nobody waits any more.
            failed = task.cancelled() or task.exception() is not None
            if failed and self._entries.get(key) is entry:
                del self._entries[key]

        task.add_done_callback(done)
        return entry
