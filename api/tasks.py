"""What the registry does by itself, again and again. An event tells where that fails and fails."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from api.errors import ApiError
from api.event_types import EventType
from api.metrics import Metrics
from api.registry.core import Registry
from api.routes.streams import to_its_end

_log = logging.getLogger("peergate.api")
# Seconds that a task may fail, and attempts that it has at least, before that is an event.
PATIENCE = 60.0
_ATTEMPTS = 2


@dataclass(slots=True)
class _Failing:
    """Since when by the loop's clock, how often, and why; `told`: there is an event."""

    since: float
    why: str
    times: int = 1
    told: bool = False


@dataclass(slots=True)
class Task:
    """`work` every so many seconds, the first time after `delay`.

    Each change, from good to failing and back, is one line in the log, and one event where it
    lasted; not of `endless` work, whose end alone is a failure.
    """

    name: str
    work: Callable[[], Awaitable[None]]
    seconds: float
    registry: Registry
    metrics: Metrics
    endless: bool = False
    delay: float = 0.0
    _failing: _Failing | None = field(default=None, init=False)

    async def run(self) -> None:
        """Never returns."""
        failures = self.metrics.task_failures.labels(self.name)
        await asyncio.sleep(self.delay)
        while True:
            begun = _now()
            try:
                await self.work()
            except ApiError as error:
                failures.inc()
                if self._is_news(str(error), begun):
                    _log.warning("%s: %s; trying again in %g s", self.name, error, self.seconds)
            except Exception as error:
                # A defect, which must not end for good what nobody asks for.
                failures.inc()
                if self._is_news(repr(error), begun):
                    _log.exception("%s: a defect; trying again in %g s", self.name, self.seconds)
            else:
                self.metrics.task_done.labels(self.name).set_to_current_time()
                await self._worked()
            await self._tell_if_it_lasts()
            await asyncio.sleep(self.seconds)

    def _is_news(self, why: str, begun: float) -> bool:
        """Notes a failure; whether that was not known."""
        before, now = self._failing, _now()
        if before is None or (self.endless and now - begun >= PATIENCE):
            self._failing = _Failing(now, why)
            return True
        before.times += 1
        before.why, known = why, before.why
        return why != known

    async def _worked(self) -> None:
        failing = self._failing
        if failing is None:
            return
        if failing.told and not await self._tell(EventType.TASK_RECOVERED, {}):
            return  # again after the next time
        self._failing = None
        _log.info("%s: in order again", self.name)

    async def _tell_if_it_lasts(self) -> None:
        failing = self._failing
        if failing is None or failing.told or failing.times < _ATTEMPTS or self.endless:
            return
        if _now() - failing.since >= PATIENCE:
            failing.told = await self._tell(EventType.TASK_FAILING, {"error": failing.why})

    async def _tell(self, type_: EventType, content: dict[str, str]) -> bool:
        """Whether it could be: while the database is away nobody is told of anything."""

        def tell() -> None:
            with self.registry.aside("peergate") as write:
                write.tell(type_, self.name, content)

        try:
            await to_its_end(tell)
        except ApiError:
            return False
        except Exception:
            _log.exception("%s: a defect: it cannot be told of", self.name)
            return False
        return True


def _now() -> float:
    return asyncio.get_running_loop().time()
