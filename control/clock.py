"""What time it is for the maps: the kernel adds our offset to its monotonic clock.

A router may wake in 1970. So at the start, now is the latest of the wall clock, the last
snapshot's time and the last time saved, and goes on from there until the wall clock has
caught up or the kernel says that it is synchronised. From then on now is the wall clock,
whichever way that is stepped.
"""

import ctypes
import time
from dataclasses import dataclass

# linux/timex.h
TIME_ERROR = 5

# What two readings one after the other may differ by without a step of the clock.
TOLERANCE_NS = 1_000_000
_TRIES = 50


@dataclass(frozen=True, slots=True)
class Reading:
    """Both clocks at one moment, in ns, and whether the wall clock is synchronised."""

    wall: int
    monotonic: int
    synchronised: bool


def read_clocks() -> Reading:
    """Both clocks; again, where other processes ran between the readings, which is no step."""
    for _ in range(_TRIES):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if after - before < TOLERANCE_NS // 4:
            break
    return Reading(wall, (before + after) // 2, _synchronised())


def _synchronised() -> bool:
    timex = ctypes.create_string_buffer(512)  # struct timex, modes = 0: only read
    return int(ctypes.CDLL(None).adjtimex(timex)) not in (-1, TIME_ERROR)


class Clock:
    """The offset that turns the monotonic clock into UTC."""

    def __init__(self, reading: Reading, floor: int) -> None:
        """`floor`: a time that is surely past, in ns since 1970."""
        self._floor: int | None = floor - reading.monotonic
        self.offset = self._true_offset(reading)

    def _true_offset(self, reading: Reading) -> int:
        wall = reading.wall - reading.monotonic
        if self._floor is None or reading.synchronised or wall >= self._floor:
            self._floor = None
            return wall
        return self._floor

    def step(self, reading: Reading) -> int:
        """Follow the wall clock; by how many ns now has jumped (0 where it just went on)."""
        offset = self._true_offset(reading)
        jump = offset - self.offset
        if abs(jump) <= TOLERANCE_NS:
            return 0
        self.offset = offset
        return jump

    def now(self, monotonic: int) -> int:
        return monotonic + self.offset

    def behind(self, reading: Reading) -> int:
        """How many ns the wall clock is behind what we take for now."""
        return max(0, reading.monotonic + self.offset - reading.wall)
