"""Looks who knocks and is a stranger, and tells the registry of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol, TypeVar

from control import state, stranger_report
from control.columns import Rows
from control.errors import ControlError
from control.gate import Gate
from control.registry import NotFound, Refused, RegistryClient
from control.samples import possible_cpus
from control.settings import Settings
from control.strangers import Strangers
from control.trouble import Trouble
from control.weights import Total, Weights

log = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds. In between the program takes so many samples of each gateway and no more.
LOOK_EVERY = 1.0
# Of others it tells so many times before it tells of strangers.
REPORTS = 2

Totals = dict[int, Total]


class Do(Protocol):
    """Carries out what touches the maps or the table in a thread, one at a time."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


class _Interval(NamedTuple):
    """What came, by gateway's number, and the gateways' names; times are in ns since 1970."""

    rows: Rows
    totals: Totals
    names: dict[int, str]
    since: int
    until: int

    def document(self) -> dict[str, object]:
        return stranger_report.document(*self)


class Observer:
    """An interval is told of word for word until the registry has answered: it takes none twice."""

    def __init__(
        self, gate: Gate, settings: Settings, client: RegistryClient | None, do: Do
    ) -> None:
        self._gate = gate
        self._settings = settings
        self._client = client
        self._do = do
        self._strangers = Strangers()
        counted = gate.plane.counted.of_strangers(gate.plane.gateways())
        self._weights = Weights(counted, len(possible_cpus()))
        self._sampled: set[int] = set()
        self._totals: Totals = {}
        self._all_totals: Totals = {}
        self._began = self._since = gate.now()
        self._unanswered: dict[str, object] | None = None
        self._trouble: str | None = None
        self._begin_epoch()

    async def look(self) -> None:
        """Never returns."""
        trouble = Trouble("the look at who knocks")
        while True:
            try:
                await self._do(self._look)
                trouble.now(None)
            except ControlError as error:
                trouble.now(error.message)
            await asyncio.sleep(LOOK_EVERY)

    async def tell(self) -> None:
        """Never returns. What is not taken is logged when the reason changes."""
        while True:
            await asyncio.sleep(REPORTS * self._settings.report_every)
            trouble = None
            try:
                await self._save()
                await self._tell()
            except NotFound as error:  # a registry that does not know of strangers yet
                log.debug("%s", error.message)
            except ControlError as error:
                trouble = error.message
                if trouble != self._trouble:
                    log.warning("who knocked was not taken: %s", trouble)
            self._trouble = trouble

    def _look(self) -> None:
        plane, now = self._gate.plane, self._gate.now()
        sampled = plane.samples.gateways()
        # After the last sample of a gateway more packets may have come.
        counted = plane.counted.of_strangers(sampled | self._sampled)
        self._sampled = sampled
        samples = plane.samples.read()
        self._begin_epoch()
        weights, totals = self._weights.weigh(samples, counted)
        _add(self._totals, totals)
        _add(self._all_totals, totals)
        if len(samples.rows):
            self._strangers.add(samples.rows, weights, now)

    def _begin_epoch(self) -> None:
        """Of all tables that packets may be judged by; none is epoch 0."""
        epoch = self._gate.plane.epoch() % (2**32 - 1) + 1
        for plane in (self._gate.plane, *self._gate.outgrown):
            plane.begin_epoch(epoch)

    async def _tell(self) -> None:
        known = await asyncio.to_thread(state.reached, self._settings.state_dir)
        if self._client is None or known is None:
            return
        if self._unanswered is None:
            came = await self._do(self._take)
            if not came.totals:
                return
            self._unanswered = await asyncio.to_thread(came.document)
        body = {"registry": known.registry, **self._unanswered}
        try:
            await self._client.strangers(self._settings.router, body)
        except Refused:
            self._unanswered = None  # it never will be
            raise
        self._unanswered = None

    def _take(self) -> _Interval:
        """The registry takes an interval whose end is later than the last one's."""
        totals, self._totals = self._totals, {}
        since = self._since
        until = max(self._gate.now(), since + 1000)
        if totals:
            self._since = until
        return _Interval(self._strangers.take(), totals, self._names(), since, until)

    async def _save(self) -> None:
        """For who looks on this router."""
        known = await self._do(self._known)
        if known.totals:
            save = stranger_report.save
            said = await asyncio.to_thread(known.document)
            await asyncio.to_thread(save, self._settings.state_dir, said)

    def _known(self) -> _Interval:
        """Since the agent began. Who is long gone makes room."""
        now, rows = self._gate.now(), self._strangers.since_start()
        self._strangers.forget(now)
        return _Interval(rows, dict(self._all_totals), self._names(), self._began, now)

    def _names(self) -> dict[int, str]:
        return {number: row.name for number, row in self._gate.plane.gateways().items()}


def _add(totals: Totals, more: Mapping[int, Total]) -> None:
    for number, (packets, samples) in more.items():
        before = totals.get(number, Total(0, 0))
        totals[number] = Total(before.packets + packets, before.samples + samples)
