"""What happens because nothing is done: found again and again, told of once."""

from collections.abc import Sequence
from datetime import datetime

from api.registry import cutover_watch, reminders, router_events
from api.registry.core import Registry


class Attention:
    """Of one process. Several may look at once: each thing is told of by one of them."""

    def __init__(self, registry: Registry, remind_days: Sequence[int]) -> None:
        self._registry = registry
        self._remind_days = remind_days
        self._since: datetime | None = None

    def look(self) -> None:
        """No router is called silent over a time in which the registry itself was away."""
        since, self._since = self._since, None
        now = self._registry.clock()
        if since is None:
            since = now
        if now - since >= router_events.SILENT_AFTER:
            router_events.find_silent(self._registry)
        reminders.remind(self._registry, self._remind_days)
        cutover_watch.look_for_strangers(self._registry)
        self._since = since
