"""How often one origin may come with tokens that do not work."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from ipaddress import IPv6Address, IPv6Network
from math import ceil
from threading import Lock
from typing import TypeVar

from api.errors import ThrottledError
from api.records import Origin

# Of one origin so many tokens at once, and then one more each so many seconds.
FAILURES = 20
EVERY = 3.0
# A token that did not work is not asked for again for so many seconds.
REMEMBERED = 30.0
# Of so many origins, and so many tokens of either kind, is anything known; the longest unheard of
# go first.
_ORIGINS = 10_000
_TOKENS = 10_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Throttle:
    """Counts tokens that do not work, by IPv4 address or IPv6 /64.

    An origin that has had too many is refused before the database is asked. Others behind the same
    proxy or NAT go on: a token that has worked here is not refused (it is looked up as ever, so
    that it ends when it is revoked), and one wrong token counts once, however often it comes, so
    that a forgotten script shuts nobody out. Holds no token, only hashes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        # When all of an origin's failures will be forgotten.
        self._forgotten: OrderedDict[str, float] = OrderedDict()
        self._worked: OrderedDict[bytes, None] = OrderedDict()
        # Until when it need not be asked for.
        self._failed: OrderedDict[bytes, float] = OrderedDict()

    def admits(self, origin: Origin, token: str) -> bool:
        """Whether to look this token up; False where it did not work a moment ago.

        Raises ThrottledError where no more may be tried from there.
        """
        digest = _digest(token)
        with self._lock:
            if digest in self._worked:
                return True
            if self._failed.get(digest, 0.0) > self._clock():
                return False
            wait = ceil(self._wait(_key(origin)))
        if wait > 0:
            raise ThrottledError(
                f"too many tokens from {_key(origin)} did not work: one that was not used here "
                f"yet may be tried in {wait} s",
                wait,
            )
        return True

    def worked(self, token: str) -> None:
        with self._lock:
            _remember(self._worked, _digest(token), None, _TOKENS)

    def failed(self, origin: Origin, token: str) -> bool:
        """Whether this one was the last that was free."""
        digest, key = _digest(token), _key(origin)
        with self._lock:
            now = self._clock()
            self._worked.pop(digest, None)
            _remember(self._failed, digest, now + REMEMBERED, _TOKENS)
            forgotten = max(self._forgotten.get(key, now), now) + EVERY
            _remember(self._forgotten, key, forgotten, _ORIGINS)
            return self._wait(key) > 0

    def _wait(self, key: str) -> float:
        """Seconds until one more may fail."""
        left = self._forgotten.get(key, 0.0) - self._clock()
        return max(left - (FAILURES - 1) * EVERY, 0.0)


def _remember(known: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > most:
        known.popitem(last=False)


def _key(origin: Origin) -> str:
    """One site has a whole IPv6 /64 to choose from."""
    if isinstance(origin.address, IPv6Address):
        return str(IPv6Network((int(origin.address), 64), strict=False))
    return str(origin.address)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
