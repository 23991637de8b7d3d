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
    weight: int | None = None  # while it is made


class Shared(Generic[K, V]):
    """Values by key, on one event loop. Whoever asks for one while it is made waits for that
    one; afterwards it is kept for `seconds`. Errors are not kept.

    Of those that are made, the last used ones are kept, which weigh `most` together: one each,
    unless `weigh` says otherwise. One that many wait for is never let go.
    """

    def __init__(self, seconds: float, most: int, weigh: Callable[[V], int] = lambda _: 1) -> None:
        self._seconds = seconds
        self._most = most
        self._weigh = weigh
        self._entries: dict[K, _Entry[V]] = {}

    async def get(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        now = asyncio.get_running_loop().time()
        entry = self._entries.pop(key, None)
        if entry is None or entry.until <= now:
            entry = self._start(key, make)
        self._entries[key] = entry
        # Whoever goes away does not take it from the others.
        return await asyncio.shield(entry.task)

    def kept(self) -> list[V]:
        """Those that are made, the last used one first."""
        made = (entry for entry in self._entries.values() if entry.weight is not None)
        return [entry.task.result() for entry in made][::-1]

    def drop(self, unwanted: Callable[[V], bool]) -> None:
        """Of those that are made."""
        for key, entry in list(self._entries.items()):
            if entry.weight is not None and unwanted(entry.task.result()):
                del self._entries[key]

    def _start(self, key: K, make: Callable[[], Awaitable[V]]) -> _Entry[V]:
        async def made() -> V:
            return await make()

        task = asyncio.create_task(made())
        entry = _Entry(task, float("inf"))

        def done(task: asyncio.Task[V]) -> None:
            entry.until = task.get_loop().time() + self._seconds
            # Asked for also where nobody waits any more.
            if task.cancelled() or task.exception() is not None:
                if self._entries.get(key) is entry:
                    del self._entries[key]
            else:
                entry.weight = self._weigh(task.result())
                self._make_room(entry)

        task.add_done_callback(done)
        return entry

    def _make_room(self, newest: _Entry[V]) -> None:
        total = sum(entry.weight or 0 for entry in self._entries.values())
        for key, entry in list(self._entries.items()):
            if total <= self._most:
                return
            if entry.weight is not None and entry is not newest:
                total -= entry.weight
                del self._entries[key]
