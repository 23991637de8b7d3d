"""Samples of strangers' packets, as the program writes them: a ring for each CPU, read through
mmap(2). bpf/samples.h is the counterpart that writes."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from control.arrays import in_order, settle
from control.columns import Rows
from control.errors import DataPlaneError

# struct pg_sample; compared with what bcc read there.
SAMPLE = np.dtype(
    [
        ("number", "u8", 2),
        ("sequence", "u8"),
        ("protocol", "u1"),
        ("has_port", "u1"),
        ("port", ">u2"),
        ("gateway", "u2"),
        ("version", "u1"),
        ("dropped", "u1"),
    ]
)
RING = 1024  # PG_RING
# Of one CPU, with the element before its ring.
ELEMENTS = RING + 1
BYTES = ELEMENTS * SAMPLE.itemsize

_POSSIBLE = Path("/sys/devices/system/cpu/possible")


@cache
def possible_cpus() -> tuple[int, ...]:
    """The numbers of all CPUs that may come, in the order of a per-CPU map's values."""
    try:
        return _numbers(_POSSIBLE.read_text())
    except OSError as error:
        raise DataPlaneError(
            f"{error.filename}: cannot be read: {error.strerror}; mount sysfs at /sys"
        ) from None


def _numbers(text: str) -> tuple[int, ...]:
    """From a list as the kernel writes it: 0-3,8."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def elements() -> int:
    """How many the map has."""
    return (possible_cpus()[-1] + 1) * ELEMENTS


class Samples(NamedTuple):
    """SAMPLE rows, and for each the place of its CPU among those that there may be."""

    rows: Rows
    cpus: Rows


class SampleReader:
    """Gives each sample once. Those that were there before it was made it passes over."""

    def __init__(self, rows: Rows) -> None:
        """`rows`: the map. Raises DataPlaneError."""
        if rows.dtype != SAMPLE.newbyteorder("="):
            raise DataPlaneError("struct pg_sample is not as control/samples.py has it")
        self._rings = rows.view(SAMPLE).reshape(-1, ELEMENTS)
        self._cpus = np.array(possible_cpus())
        self._read = self._heads()

    def gateways(self) -> set[int]:
        """Whose samples are there to be read; more may come at any time."""
        return set(np.unique(self._new().rows["gateway"]).tolist())

    def read(self) -> Samples:
        """What came since it was last asked; of more than a ring holds, the newest."""
        found = self._new()
        self._read = found.heads
        return Samples(found.rows, found.cpus)

    def _heads(self) -> Rows:
        heads: Rows = self._rings[self._cpus, 0]["sequence"].astype(np.int64)
        return heads

    def _new(self) -> "_New":
        heads = self._heads()
        if not (heads > self._read).any():
            return _New(np.zeros(0, SAMPLE), np.zeros(0, np.int64), heads)
        # What a head says is there is whole in the copy. One that is written over while it is
        # copied has a ring's length less than the next of the heads afterwards, or still less.
        settle()
        found, cpus = [], []
        for place in np.flatnonzero(heads > self._read):
            copy = self._rings[self._cpus[place], 1:].copy()
            in_order()
            after = int(self._rings[self._cpus[place], 0]["sequence"])
            first = max(int(self._read[place]) + 1, after + 2 - RING)
            sequence = np.arange(first, int(heads[place]) + 1)
            rows = copy[sequence % RING]
            found.append(rows[rows["sequence"] == sequence])
            cpus.append(np.full(len(found[-1]), place))
        return _New(np.concatenate(found), np.concatenate(cpus), heads)


class _New(NamedTuple):
    rows: Rows
    cpus: Rows
    heads: Rows
