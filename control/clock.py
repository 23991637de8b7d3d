"""What time it is for the maps: the kernel adds our offset to its monotonic clock.

A router may wake in 1970. So at the start, now is the latest of the wall clock, the last
snapshot's time and the last time saved, and goes on from there until the wall clock has
caught up or the kernel says that it is synchronised. From then on now is the wall clock,
whichever way that is stepped.

A wall clock that nothing synchronises may also be off. Each report's answer says the registry's
time; where some in a row agree that ours is off by more than a bound, now is the registry's. A
synchronised clock is never overruled, and an agent that runs is taken no further than a day from
its own time: a registry that lies, or is lied to about the time, cannot end what ends next year.
"""

import ctypes
import time
from dataclasses import dataclass

# linux/timex.h
TIME_ERROR = 5

# What two readings one after the other may differ by without a step of the clock.
TOLERANCE_NS = 1_000_000
_TRIES = 50

# The registry's time is known this well at least, or not at all.
ROUND_TRIP_NS = 1_000_000_000
# So many measurements in a row that differ by less than this.
AGREEING = 3
AGREED_NS = 500_000_000
# What our clock may be off by, and how far from it the registry is believed.
BOUND_NS = 2_000_000_000
FARTHEST_NS = 24 * 3600 * 10**9


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
        self._heard: list[int] = []
        self._registry: int | None = None
        self.follows_registry = False
        self.offset = self._true_offset(reading)

    def hear(self, said: int, sent: int, came: int) -> None:
        """The registry's time in ns since 1970, and our monotonic clock when we asked for it and
        when it came."""
        if not 0 <= came - sent <= ROUND_TRIP_NS:
            return
        self._heard = [*self._heard, said - (sent + came) // 2][-AGREEING:]
        if len(self._heard) < AGREEING or max(self._heard) - min(self._heard) > AGREED_NS:
            return
        agreed = sorted(self._heard)[AGREEING // 2]
        # Not moved by each measurement's own error.
        if self._registry is None or abs(agreed - self._registry) > AGREED_NS:
            self._registry = agreed

    def ahead(self, reading: Reading) -> int | None:
        """By how many ns the registry's clock is ahead of our wall clock; None if not known."""
        return self._heard[-1] - (reading.wall - reading.monotonic) if self._heard else None

    def correction(self, reading: Reading) -> int:
        """By how many ns now is ahead of the wall clock."""
        return self.offset - (reading.wall - reading.monotonic)

    def _true_offset(self, reading: Reading) -> int:
        own = self._own_offset(reading)
        self.follows_registry = False
        if self._registry is None or reading.synchronised:
            return own
        if BOUND_NS < abs(self._registry - own) <= FARTHEST_NS:
            self.follows_registry = True
            return self._registry
        return own

    def _own_offset(self, reading: Reading) -> int:
        wall = reading.wall - reading.monotonic
        if self._floor is None or reading.synchronised or wall >= self._floor:
            self._floor = None
            return wall
        return self._floor

    def step(self, reading: Reading) -> int:
        """Follow the wall clock, or the registry's; by how many ns now has jumped (0 where it just
        went on)."""
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
