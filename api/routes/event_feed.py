"""Events as all streams of this process follow them: the newest are read once for all."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from api.event_records import KeptEvent
from api.routes.streams import to_its_end
from api.watch import Watch

# How far back a stream may be and still be served from memory.
_HELD = 2000
# A stream takes so many at a time.
BATCH = 500

# Those after a number, in their order: the next few.
Reader = Callable[[int], tuple[KeptEvent, ...]]


class Feed:
    """Lives on one event loop. A stream has a place, and nothing waits here for a slow one."""

    def __init__(self, watch: Watch, read: Reader) -> None:
        self._watch = watch
        self._read = read
        self._held: deque[KeptEvent] = deque(maxlen=_HELD)
        # All events after `_floor`, to `_last`, are held.
        self._floor = self._last = 0
        self._reading = asyncio.Lock()

    @property
    def open(self) -> bool:
        return not self._watch.closed

    async def after(self, number: int, seconds: float, own: Reader) -> Sequence[KeptEvent]:
        """Events after `number`, once there are any; none when the time is up.

        Who is far behind reads by itself, with `own`.
        """
        await self._watch.wait(number, seconds)
        if self._watch.newest <= number:
            return ()
        if number < self._floor:
            return await to_its_end(partial(own, number))
        async with self._reading:
            if self._last < self._watch.newest:
                await self._read_on(number)
            if number < self._floor:
                return ()
            first = number - self._floor
            return [self._held[at] for at in range(first, min(first + BATCH, len(self._held)))]

    async def _read_on(self, number: int) -> None:
        if not self._held or number > self._last:
            # Nobody was here for a while.
            self._held.clear()
            self._floor = self._last = number
        for event in await to_its_end(partial(self._read, self._last)):
            if len(self._held) == _HELD:
                self._floor = self._held[0].number
            self._held.append(event)
            self._last = event.number
