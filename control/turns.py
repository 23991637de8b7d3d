"""Long work in short turns, between which others get theirs."""

import time
from collections.abc import Iterator

AT_ONCE = 0.005


def some(steps: Iterator[None]) -> bool:
    """Take steps for some milliseconds, as others wait; whether there may be more."""
    until = time.monotonic() + AT_ONCE
    return any(time.monotonic() > until for _ in steps)
