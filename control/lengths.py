"""Which lengths of prefixes a gateway has near a source: what tells packets where to look."""

import numpy as np

from control import hashing
from control.arrays import BpfArray, Mirror
from control.columns import Rows
from control.hashing import HOSTS6, Secret


class Lengths:
    """The cells of both families, 2^bits of them each. Keys are of struct pg_key."""

    def __init__(self, arrays: dict[str, BpfArray], secret: Secret, bits4: int, bits6: int) -> None:
        self._secret = secret
        self._cells4, self._cells6 = np.uint64((1 << bits4) - 1), np.uint64((1 << bits6) - 1)
        self._words4 = Mirror.of(arrays["lengths4"].rows["cell"].reshape(-1))
        # Cells of IPv6 are pairs of words.
        self._words6 = Mirror.of(arrays["lengths6"].rows["cell"].reshape(-1))
        # While it is found out anew what there should be, so that bits of what is gone go.
        self._anew: tuple[Mirror, Mirror] | None = None

    def take(self) -> None:
        """The cells as they are, before anything is added: packets look in them."""
        self._words4.take()
        self._words6.take()

    def announce(self, kind: int, keys: Rows) -> None:
        """Packets look for lengths as those of these keys, which are of one class."""
        head, high, low = hashing.lengths_of(kind, keys["name"][:, 0], keys["name"][:, 1])
        cell = self._secret.hash_head(keys["gateway"].astype(np.uint64), head)
        self._announce(kind, cell, high, low, (self._words4, self._words6))
        if self._anew is not None:
            self._announce(kind, cell, high, low, self._anew)

    def _announce(
        self, kind: int, cell: Rows, high: Rows, low: Rows, words: tuple[Mirror, Mirror]
    ) -> None:
        if kind < HOSTS6:
            at = (cell & self._cells4).astype(np.int64)
            words[0].add_bits(at, low.astype(np.uint32))
        else:
            at = (cell & self._cells6).astype(np.int64) * 2
            words[1].add_bits(at, high)
            words[1].add_bits(at + 1, low)

    def start_anew(self) -> None:
        """From here on, all that is announced counts for `finish`."""
        made = (np.zeros_like(self._words4.ours), np.zeros_like(self._words6.ours))
        self._anew = Mirror(made[0], made[0]), Mirror(made[1], made[1])

    def finish(self) -> int:
        """Make the cells what was announced since the start; how many words lacked something."""
        assert self._anew is not None
        four, six = self._anew
        self._anew = None
        return self._words4.put_right(four.ours) + self._words6.put_right(six.ours)
