"""What a router tells its registry: revision in force, attachment, counters."""

import asyncio
import logging
import platform
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from control import state
from control.clock import Clock, Reading, read_clocks
from control.errors import DataPlaneError, RegistryError
from control.gate import Gate
from control.interfaces import InterfaceState
from control.model import Count
from control.registry import RegistryClient, Told
from control.settings import Settings
from control.word import Word
from policy.window import rfc3339

log = logging.getLogger(__name__)

NO_GATEWAY = 0

# Seconds.
BURST = 0.2
AFTER_TROUBLE = 1.0


def peergate_version() -> str:
    try:
        return version("peergate")
    except PackageNotFoundError:
        return "unknown"


def report(
    gate: Gate,
    interfaces: tuple[InterfaceState, ...],
    put_back: int,
    heard: datetime | None,
    word: Word | None,
) -> dict[str, object]:
    """The body of PUT /v1/routers/{name}/report, but for `registry` and `revision`.

    `heard` is when the registry signed its newest word that came here, `word` the one on the
    newest allowlist.
    """
    hosts4, prefixes4, hosts6, prefixes6 = gate.plane.counts()
    return {
        "version": peergate_version(),
        "kernel": platform.release(),
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "interfaces": [
            {
                "name": state.name,
                "attach": state.attach,
                "attached": state.attached,
                "program": state.program,
                "error": state.error,
            }
            for state in interfaces
        ],
        "entries": {"hosts": hosts4 + hosts6, "prefixes": prefixes4 + prefixes6},
        "repairs": gate.repairs,
        "put_back": put_back,
        "heard": rfc3339(heard),
        "held": None if gate.held is None else gate.held.reason,
        "clock": clock(gate.clock, read_clocks()),
        "counters": counters_by_name(gate),
        "word": shown(word),
    }


def shown(word: Word | None) -> dict[str, str] | None:
    """As it came, for the registry to see where it had been."""
    if word is None:
        return None
    return {"statement": word.statement, "signature": f"{word.key} {word.signature}"}


def clock(kept: Clock, reading: Reading) -> dict[str, object]:
    """Of the wall clock, in seconds: what the registry is ahead by, and what we take it for."""
    ahead = kept.ahead(reading)
    return {
        "offset": None if ahead is None else round(ahead / 1e9, 3),
        "synchronised": reading.synchronised,
        "correction": round(kept.correction(reading) / 1e9, 3),
    }


def counters_by_name(gate: Gate) -> dict[str, dict[str, dict[str, int]]]:
    """Counters under their gateways' names; "" where no gateway is known."""
    gateways, _ = gate.plane.guarded()
    names = {number: row.name for number, row in gateways.items()}
    names[NO_GATEWAY] = ""
    return {
        names[number]: {name: _count(count) for name, count in counts.items()}
        for number, counts in gate.plane.counters().items()
        if number in names
    }


def _count(count: Count) -> dict[str, int]:
    return {"packets": count.packets, "bytes": count.bytes}


class Reporter:
    """Sends what `body` gives, every so often and when `soon` is set; `told` hears the time."""

    def __init__(
        self,
        client: RegistryClient | None,
        settings: Settings,
        body: Callable[[], Awaitable[dict[str, object]]],
        told: Callable[[Told], None],
    ) -> None:
        self.soon = asyncio.Event()
        self._client = client
        self._settings = settings
        self._body = body
        self._told = told
        self._trouble: str | None = None

    async def send(self) -> None:
        """One report. Before the first contact there is nothing to say, and nobody to say it to."""
        known = await asyncio.to_thread(state.reached, self._settings.state_dir)
        if self._client is None or known is None:
            return
        said = {"registry": known.registry, "revision": known.revision, **await self._body()}
        told = await self._client.report(self._settings.router, said)
        if told is not None:
            self._told(told)

    async def run(self) -> None:
        """Never returns. A report that is not taken is logged when the reason changes."""
        while True:
            self.soon.clear()
            trouble = None
            try:
                await self.send()
            except (RegistryError, DataPlaneError) as error:
                trouble = error.message
                if trouble != self._trouble:
                    log.warning("the report was not taken: %s", trouble)
            self._trouble = trouble
            # A burst of changes is one report.
            await asyncio.sleep(BURST if trouble is None else AFTER_TROUBLE)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.report_every):
                    await self.soon.wait()
                    # A thousand routers have the same change to tell of.
                    if self._client is not None:
                        await asyncio.sleep(random.uniform(0.0, self._client.spread))
