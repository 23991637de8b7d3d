"""Writers of one process: the rest of its threads and connections is for readers."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Semaphore

from api.errors import UnavailableError

# Starlette's thread pool runs 40 requests at a time.
_PLACES = 24
_BUSY_SECONDS = 5.0
# Where no turn has ended for so long, as while many peers are imported, waiting is mostly in vain.
_LONG = 2.0
_SOON = 0.5


class Turns:
    """So many write `at_once`, some more wait, and who comes then is turned away."""

    def __init__(self, at_once: int) -> None:
        self._places = Semaphore(_PLACES)
        self._turns = Semaphore(at_once)
        self._moved = time.monotonic()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Raises UnavailableError where there is no place, or the turn does not come in time."""
        if not self._places.acquire(blocking=False):
            raise UnavailableError(
                f"{_PLACES} changes wait here already, which is as many as there may be: try again",
                "busy",
            )
        try:
            with self._awaited():
                yield
        finally:
            self._places.release()

    @contextmanager
    def _awaited(self) -> Iterator[None]:
        if not self._turns.acquire(blocking=False):
            stuck = time.monotonic() - self._moved > _LONG
            if not self._turns.acquire(timeout=_SOON if stuck else _BUSY_SECONDS):
                raise UnavailableError(
                    "another change is being written, which takes long: try again", "busy"
                )
        self._moved = time.monotonic()
        try:
            yield
        finally:
            self._moved = time.monotonic()
            self._turns.release()
