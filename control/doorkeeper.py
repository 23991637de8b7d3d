"""Remembers strangers that found no place among those kept, by their hashes, for a while."""

import numpy as np

from control.columns import Rows

# Of each of the two parts of its memory: 2 MiB.
MOST = 1 << 18
# Minutes after which the newer part is the older one.
KEPT_FOR = 60


class Doorkeeper:
    """Knows who was sent away in an earlier minute: of the last MOST of them, all."""

    def __init__(self) -> None:
        self._minute = 0
        self._began = 0
        self._this_minute = [_NOBODY]
        self._newer = _NOBODY
        self._older = _NOBODY

    def knows(self, hashes: Rows, minute: int) -> Rows:
        """Which of them were sent away before this minute."""
        self._go_on(minute)
        return _among(hashes, self._newer) | _among(hashes, self._older)

    def send_away(self, hashes: Rows, minute: int) -> None:
        self._go_on(minute)
        self._this_minute.append(hashes)
        # More than fit in one minute: those of its beginning are remembered as of an earlier one.
        if sum(map(len, self._this_minute)) >= MOST:
            self._take_over(minute)

    def _go_on(self, minute: int) -> None:
        if minute != self._minute:
            self._minute = minute
            self._take_over(minute)

    def _take_over(self, minute: int) -> None:
        newer = np.unique(np.concatenate([self._newer, *self._this_minute]))
        self._this_minute = [_NOBODY]
        self._newer = newer
        if len(newer) >= MOST or not 0 <= minute - self._began < KEPT_FOR:
            self._newer, self._older, self._began = _NOBODY, newer, minute


_NOBODY = np.zeros(0, np.uint64)


def _among(hashes: Rows, known: Rows) -> Rows:
    """`known` is sorted."""
    if not len(known):
        return np.zeros(len(hashes), bool)
    at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    found: Rows = known[at] == hashes
    return found
