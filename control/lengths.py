"""What a gateway has near a source: what tells packets whether and where to look."""

import numpy as np

from control import blocks, hashing
from control.arrays import BpfArray, Mirror
from control.columns import Rows
from control.hashing import HOSTS4, HOSTS6, PREFIXES6, Column, Secret
from control.sizes import Sizes

# Sets of bits: the cells of both families, which family has prefixes without a head, and strides.
Words = tuple[Mirror, ...]

_NOTHING, _OWN6 = np.uint64(0), np.uint64(1 << 48)  # PG_OWN6
_OWN_SHIFT, _OWN_MASK = np.uint64(32), np.uint64(15)


class Lengths:
    """The cells of both families, whether packets must look at those of prefixes shorter than a
    head, and the strides of IPv6. Keys are of struct pg_key."""

    def __init__(self, arrays: dict[str, BpfArray], secret: Secret, sizes: Sizes) -> None:
        bits4, bits6 = sizes.cells_bits
        first, bits = sizes.strides
        self._secret = secret
        self._stride_shift = np.uint64(64 - bits)
        self._shifts = np.uint64(64 - bits4), np.uint64(64 - bits6)
        self._words: Words = (
            # Cells are pairs of words.
            Mirror.of(arrays["lengths4"].rows["cell"].reshape(-1)),
            Mirror.of(arrays["lengths6"].rows["cell"].reshape(-1)),
            Mirror.of(arrays["root"].rows["shorts"][0]),
            Mirror.of(blocks.words(arrays["filter"], first, 1 << bits)),
        )
        # While it is found out anew what there should be, so that bits of what is gone go.
        self._anew: Words | None = None

    def take(self) -> None:
        """The cells as they are, before anything is added: packets look in them."""
        for words in self._words:
            words.take()

    def announce(self, kind: int, keys: Rows) -> None:
        """Packets look for such as these keys, which are of one class."""
        if not len(keys):
            return
        gateway, names = keys["gateway"].astype(np.uint64), keys["name"]
        head, high, low, short = hashing.around(kind, names[:, 0], names[:, 1])
        hashes = self._secret.hash_head(kind, gateway, head)
        if kind == HOSTS4:
            high, low = blocks.of_hosts4(self._secret.hash(kind, gateway, names[:, 0], names[:, 1]))
        elif kind >= HOSTS6:
            high |= np.where(short, _NOTHING, _OWN6 << (hashes >> _OWN_SHIFT & _OWN_MASK))
        family = int(kind >= HOSTS6)
        at = (hashes >> self._shifts[family]).astype(np.int64) * 2
        # Sorted once, of all that follows.
        order = np.argsort(at, kind="stable")
        at, high, low = at[order], high[order], low[order]
        for words in filter(None, (self._words, self._anew)):
            words[family].add_bits(at, high)
            words[family].add_bits(at + 1, low)
            if short.any():
                words[2].add_bits(np.array([family]), np.ones(1, np.uint8))
            if kind == PREFIXES6:
                words[3].add_bits(*self._in_strides(keys))

    def _in_strides(self, keys: Rows) -> tuple[Rows, Column]:
        whose, high, low, end = hashing.strides(keys["name"][:, 0], keys["name"][:, 1])
        gateway = keys["gateway"].astype(np.uint64)[whose]
        hashes = self._secret.hash_stride(gateway, high, low, end)
        return blocks.of_strides(hashes, self._stride_shift)

    def start_anew(self) -> None:
        """From here on, all that is announced counts for `finish`."""
        empty = (np.zeros_like(words.ours) for words in self._words)
        self._anew = tuple(Mirror(words, words) for words in empty)

    def finish(self) -> int:
        """Make the cells what was announced since the start; how many words lacked something."""
        assert self._anew is not None
        anew, self._anew = self._anew, None
        return sum(
            words.put_right(wanted.ours) for words, wanted in zip(self._words, anew, strict=True)
        )
