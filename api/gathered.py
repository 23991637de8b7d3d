"""What many bring at once is done together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from api.errors import ApiError

T = TypeVar("T")


class Gathered(Generic[T]):
    """On one event loop. Whoever comes alone is served at once; while one lot is in work, and
    until `seconds` after it, those who come are gathered for the next one, of `most` at most.

    `work` says of each whether it failed; where it raises, all of the lot did.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Awaitable[Sequence[ApiError | None]]],
        seconds: float,
        most: int,
    ) -> None:
        self._work = work
        self._seconds = seconds
        self._most = most
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def do(self, one: T) -> None:
        """Raises ApiError. It is carried out also where nobody waits for it any more."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, done))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        await done

    async def _run(self) -> None:
        try:
            while self._waiting:
                lot, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._carry_out(lot)
                await asyncio.sleep(self._seconds)
        finally:
            self._task = None

    async def _carry_out(self, lot: Sequence[tuple[T, asyncio.Future[None]]]) -> None:
        try:
            failed = await self._work([one for one, _ in lot])
        except BaseException as error:
            for _, done in lot:
                if not done.done():
                    done.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, done), wrong in zip(lot, failed, strict=True):
            if done.done():
                continue
            if wrong is None:
                done.set_result(None)
            else:
                done.set_exception(wrong)
