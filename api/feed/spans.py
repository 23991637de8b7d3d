"""What each router sees, for many that ask at once."""

from anyio.to_thread import run_sync

from api.registry import allowlist
from api.registry.allowlist import Span
from api.registry.core import Registry
from api.shared import Shared
from api.watch import Watch

# Long enough for a crowd that was woken together.
_KEPT_SECONDS = 0.25
_KEPT = 256

# Whose word it is: an agent takes none that is for another router.
EVERYTHING = "all"


def view_name(router: str | None) -> str:
    return EVERYTHING if router is None else f"router/{router}"


class Spans:
    def __init__(self, registry: Registry, watch: Watch) -> None:
        self._registry = registry
        self._watch = watch
        self._spans: Shared[tuple[int | None, int], Span] = Shared(_KEPT_SECONDS, _KEPT)

    async def get(self, after: int | None = None) -> Span:
        """From a revision to the head's, or the head's alone."""
        # A revision that was announced is in every one that is made from then on.
        key = after, self._watch.newest
        return await self._spans.get(key, lambda: run_sync(self._read, after))

    def _read(self, after: int | None) -> Span:
        with self._registry.read() as read:
            return allowlist.span(read, after)
