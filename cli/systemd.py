"""What a service tells systemd: Type=notify and WatchdogSec (sd_notify(3))."""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Self

Moment = Literal["ready", "alive", "stopping"]
_SAID: dict[Moment, bytes] = {
    "ready": b"READY=1",
    "alive": b"WATCHDOG=1",
    "stopping": b"STOPPING=1",
}


@dataclass(slots=True)
class Systemd:
    """Whoever started this service; `address` is None where that was not systemd.

    `every` is the least time between two signs of life in seconds, None where no watchdog waits.
    """

    address: str | None
    every: float | None = None
    _last: float = 0.0

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        where, limit = environ.get("NOTIFY_SOCKET"), environ.get("WATCHDOG_USEC", "")
        meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        address = "\0" + where[1:] if where and where.startswith("@") else where
        # A half of the limit, as sd_watchdog_enabled(3) has it.
        return cls(address or None, int(limit) / 2e6 if limit.isdecimal() and meant else None)

    def tell(self, moment: Moment) -> None:
        """Says it, if somebody waits for it. "alive" may come as often as it likes."""
        if self.address is None:
            return
        now = time.monotonic()
        if moment == "alive" and (self.every is None or now - self._last < self.every):
            return
        with (
            suppress(OSError),  # nobody there to hear it is no reason to end
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to,
        ):
            # Nor is one who does not listen now a reason to wait, but for the one word that counts.
            to.setblocking(moment == "ready")
            to.connect(self.address)
            to.send(_SAID[moment])
            self._last = now
