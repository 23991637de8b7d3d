"""What a gateway has near a source: what tells packets whether and where to look."""

from collections.abc import Iterator

import numpy as np

from control import blocks, hashing
from control.arrays import BpfArray, Mirror
from control.columns import Rows
from control.hashing import HOSTS4, HOSTS6, PREFIXES4, PREFIXES6, Column, Secret
from control.sizes import Sizes

# Sets of bits: by family the words of `lengths4` and `lengths6`; then the other two.
Words = tuple[Mirror, ...]
_SHORTS, _STRIDES = 2, 3

_NOTHING, _OWN6 = np.uint64(0), np.uint64(1 << 48)  # PG_OWN6
_OWN6_SHIFT, _OWN6_MASK = np.uint64(32), np.uint64(15)


class Lengths:
    """The cells of both families and the parts of IPv4 heads, whether packets must look at the cell
    of prefixes shorter than a head, and the strides of IPv6. Keys are of struct pg_key."""

    def __init__(self, arrays: dict[str, BpfArray], secret: Secret, sizes: Sizes) -> None:
        bits4, bits6 = sizes.cells_bits
        self._secret = secret
        self._cells_shifts = np.uint64(64 - bits4), np.uint64(64 - bits6)
        self._parts4_first, bits = sizes.parts4
        self._parts4_shift = np.uint64(64 - bits)
        first, bits = sizes.strides
        self._strides_shift = np.uint64(64 - bits)
        self._words: Words = (
            Mirror.of(arrays["lengths4"].rows["word"].reshape(-1)),
            Mirror.of(arrays["lengths6"].rows["word"].reshape(-1)),
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
        bits = list(self._bits(kind, keys["gateway"].astype(np.uint64), keys["name"]))
        for words in filter(None, (self._words, self._anew)):
            for number, at, wanted in bits:
                words[number].add_bits(at, wanted)

    def _bits(self, kind: int, gateway: Column, names: Rows) -> Iterator[tuple[int, Rows, Rows]]:
        """Of which words which places need which bits."""
        family = int(kind >= HOSTS6)
        high, low = names[:, 0], names[:, 1]
        head, first, second, short = hashing.around(kind, high, low)
        hashes = self._secret.hash_head(kind, gateway, head)
        if kind == HOSTS4:
            first, second = blocks.of_hosts4(self._secret.hash_own4(hashes, low))
        elif family:
            first |= np.where(short, _NOTHING, _OWN6 << (hashes >> _OWN6_SHIFT & _OWN6_MASK))
        cell = hashes >> self._cells_shifts[family]
        if not family:
            cell ^= head & hashing.GROUP4_MASK
        at = cell.astype(np.int64) * 2
        # Sorted once, for both numbers.
        order = np.argsort(at, kind="stable")
        yield family, at[order], first[order]
        yield family, at[order] + 1, second[order]
        if short.any():
            yield _SHORTS, np.array([family]), np.ones(1, np.uint8)
        if kind == PREFIXES4:
            whose, part, wanted = hashing.parts4(low)
            hashes = self._secret.hash_part4(gateway[whose], part) >> self._parts4_shift
            yield family, hashes.astype(np.int64) + self._parts4_first, wanted
        if kind == PREFIXES6:
            whose, high, low, end = hashing.strides(high, low)
            hashes = self._secret.hash_stride(gateway[whose], high, low, end)
            yield _STRIDES, *blocks.of_strides(hashes, self._strides_shift)

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
