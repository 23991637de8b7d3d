"""The programs of packets.c, compiled and loaded as the production program is."""

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bcc import BPF
from numpy.typing import NDArray

from control import headers, loader, syscalls
from control.columns import Rows

SOURCE = Path(__file__).with_name("packets.c")
LINE_BYTES = 64
LINES = 1 << 18  # 16 MiB: more than a timed run walks over
WALK4 = 1 << 21  # addresses walked over, of 8 MiB
WALK6 = 1 << 20

FUNCTIONS = (
    *("walk_sources4", "walk_sources6", "walk_destinations4", "walk_destinations6"),
    *("parse_and_drop", "drop", "generate4", "generate6"),
)


@dataclass(frozen=True, slots=True)
class Programs:
    """Descriptors by function; what the walk reads, in place."""

    fds: dict[str, int]
    measured_fd: int
    words: NDArray[np.uint32]
    state: Rows

    def walk(self, addresses: Sequence[int] | NDArray[Any], family: int) -> None:
        """Walk over these from the start: bytes in network order, WALK4 or WALK6 of them."""
        words = np.ascontiguousarray(addresses).view(np.uint32).reshape(-1)
        expected = WALK4 if family == 4 else WALK6 * 4
        if len(words) != expected:
            raise ValueError(f"{len(words)} words to walk over, not {expected}")
        # IPv4 has fewer lines than the map, and the index wraps at the map's end.
        for start in range(0, len(self.words), len(words)):
            self.words[start : start + len(words)] = words
        self.restart()

    def restart(self) -> None:
        self.state["next"][0] = 0

    def measure(self, fd: int) -> None:
        """Make `fd` the program that the walk calls."""
        syscalls.update(self.measured_fd, bytes(4), fd.to_bytes(4, "little"))


@contextmanager
def loaded() -> Iterator[Programs]:
    """Everything of packets.c; unloaded at the end."""
    flags = [*headers.include_flags(), f"-DPG_LINES={LINES}"]
    with headers.kernel_headers():
        made = BPF(src_file=os.fsencode(SOURCE), cflags=flags)
    fds: dict[str, int] = {}
    try:
        frags = loader.has_frags()  # a program calls only those that are like it in this
        for name in FUNCTIONS:
            fds[name] = loader.load(made.dump_func(name.encode()), name, frags=frags)
        lines = mmap.mmap(made[b"lines"].map_fd, LINES * LINE_BYTES)
        cell = mmap.mmap(made[b"state"].map_fd, mmap.PAGESIZE)
        yield Programs(
            fds,
            made[b"measured"].map_fd,
            np.frombuffer(lines, np.uint32),
            np.frombuffer(cell, np.dtype(made[b"state"].Leaf), 1),
        )
    finally:
        for fd in fds.values():
            os.close(fd)
        made.close()
