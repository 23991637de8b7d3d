"""Callers that were let in, so that a thousand routers do not ask the database one by one."""

import hashlib

from anyio.to_thread import run_sync

from api.registry import tokens
from api.registry.core import Registry
from api.registry.permissions import Caller
from api.shared import Shared

# How long a token goes on after it was revoked, at most.
_LOOK_SECONDS = 0.5
_MOST = 20_000


class KnownCallers:
    """By their tokens' digests. A token that was revoked, whichever it is, empties it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._looks: Shared[None, int] = Shared(_LOOK_SECONDS, 1)
        self._revoked = -1
        self._callers: dict[bytes, Caller] = {}

    async def find(self, text: str) -> Caller | None:
        """Raises UnavailableError where nobody can say whether the token still works."""
        revoked = await self._looks.get(None, lambda: run_sync(self._count))
        if revoked != self._revoked:
            self._revoked = revoked
            self._callers.clear()
        return self.before(text)

    def before(self, text: str) -> Caller | None:
        """As of the last look: for nothing that matters."""
        caller = self._callers.get(_digest(text))
        if caller is None:
            return None
        ended = caller.expires is not None and caller.expires <= self._registry.clock()
        return None if ended else caller

    @property
    def revoked(self) -> int:
        """How many tokens were, at the last look."""
        return self._revoked

    def keep(self, text: str, caller: Caller, revoked: int) -> None:
        """`revoked` is of before the caller was let in: one revoked since then is not kept."""
        if revoked != self._revoked:
            return
        if len(self._callers) >= _MOST:
            self._callers.clear()
        self._callers[_digest(text)] = caller

    def _count(self) -> int:
        with self._registry.read() as read:
            return tokens.count_revoked(read)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
