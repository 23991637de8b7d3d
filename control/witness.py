"""What a router tells its registry of who was seen."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from control import state
from control.errors import DataPlaneError, RegistryError
from control.registry import RegistryClient
from control.settings import Settings
from control.sightings import Seen, Sightings

log = logging.getLogger(__name__)


class Witness:
    """Tells the registry who was seen, every so often. What it did not take is told later."""

    def __init__(
        self, client: RegistryClient, settings: Settings, look: Callable[[], Awaitable[Seen]]
    ) -> None:
        self._client = client
        self._settings = settings
        self._look = look
        self._sightings = Sightings()
        self._trouble: str | None = None

    async def run(self) -> None:
        """Never returns."""
        while True:
            trouble = None
            try:
                await self._tell()
            except (RegistryError, DataPlaneError) as error:
                trouble = error.message
                if trouble != self._trouble:
                    log.warning("who was seen was not taken: %s", trouble)
            self._trouble = trouble
            await asyncio.sleep(self._settings.report_every)

    async def _tell(self) -> None:
        known = await asyncio.to_thread(state.reached, self._settings.state_dir)
        if known is None:
            return
        self._sightings.add(await self._look())
        while len((some := self._sightings.some()).peers):
            body = {"registry": known.registry, "seen": some.body()}
            await self._client.seen(self._settings.router, body)
            self._sightings.told(some)
