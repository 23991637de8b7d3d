"""Arrays that packets are judged by, as NumPy columns over the kernel's own memory.

A store of eight aligned bytes is seen whole by a packet; what it points at must be in place
before, and stays as it is until a grace period is over.
"""

import mmap
import platform
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from control import syscalls
from control.columns import Rows
from control.errors import DataPlaneError
from control.maps import CType

# x86 shows stores to other CPUs in their order.
_ORDERED = platform.machine() == "x86_64"


@dataclass(frozen=True, slots=True)
class BpfArray:
    """A BPF_F_MMAPABLE array: `rows` are its values, in place."""

    name: str
    rows: Rows


def open_array(name: str, fd: int, value: CType, max_entries: int) -> BpfArray:
    """The map's memory stays mapped as long as `rows` lives. Raises DataPlaneError."""
    dtype = np.dtype(value)
    size = dtype.itemsize * max_entries
    try:
        memory = mmap.mmap(fd, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
    except OSError as error:
        raise DataPlaneError(
            f"map {name} could not be mapped: {error.strerror}; run as root, or with CAP_BPF"
        ) from None
    return BpfArray(name, np.frombuffer(memory, dtype, max_entries))


def in_order() -> None:
    """What was stored before is seen before what is stored from here on."""
    if not _ORDERED:
        syscalls.memory_barrier()


def settle() -> None:
    """All is seen that packets stored before what was read of theirs up to here."""
    if not _ORDERED:
        syscalls.grace_period()


@dataclass(frozen=True, slots=True)
class Mirror:
    """A column of an array, and a copy of all that was stored there: what should be there."""

    live: Rows
    ours: Rows

    @classmethod
    def of(cls, live: Rows) -> Self:
        """Nothing is ours yet. Pages of the copy that nothing is written to cost nothing."""
        return cls(live, np.zeros(live.shape, live.dtype))

    def take(self) -> None:
        """All that is there is ours."""
        self.ours[:] = self.live

    def part(self, first: int, last: int) -> Self:
        return type(self)(self.live[first:last], self.ours[first:last])

    def store(self, at: Any, values: Rows | np.unsignedinteger[Any]) -> None:  # noqa: ANN401  # any index that NumPy takes
        self.ours[at] = values
        self.live[at] = values

    def add_bits(self, at: Rows, bits: Rows) -> None:
        """Set bits of words, each in one store, and only in words that lack some."""
        place, wanted = or_by_place(at, bits)
        held = self.ours[place]
        lacks = (held | wanted) != held
        self.store(place[lacks], (held | wanted)[lacks])

    def put_right(self, wanted: Rows) -> int:
        """Words are sets of bits: make them these; how many of those live lacked one."""
        lacking = int(((self.live & wanted) != wanted).sum())
        differs = (self.live != wanted) | (self.ours != wanted)
        if differs.any():
            self.store(differs, wanted[differs])
        return lacking


def or_by_place(at: Rows, bits: Rows) -> tuple[Rows, Rows]:
    """Each place once, with all bits that are for it."""
    if len(at) < 2:
        return at, bits
    order = np.argsort(at, kind="stable")
    at, bits = at[order], bits[order]
    starts = np.flatnonzero(np.concatenate([[True], at[1:] != at[:-1]]))
    return at[starts], np.bitwise_or.reduceat(bits, starts)
