"""The router's clock: registrations and cut-overs begin and end by it."""

from collections.abc import Iterator

from control import state
from control.clock import Clock, Reading, read_clocks
from control.doctor.finding import Finding
from control.doctor.router import Router
from control.errors import SnapshotError
from control.snapshot import load_snapshot
from policy.window import to_ns

SET_IT = "timedatectl set-ntp true, or start chrony"

# Seconds that a router and its registry may differ by before it is worth a word.
TOLERANCE = 2.0


def clock(router: Router) -> Iterator[Finding]:
    reading = read_clocks()
    yield synchronised(reading)
    yield from behind(reading, last_seen(router))


def last_seen(router: Router) -> int:
    """The latest time that this router's state tells of, in ns since 1970."""
    state_dir = router.settings.state_dir
    try:
        snapshot = load_snapshot(state_dir)
    except SnapshotError:  # the state's own finding says it
        snapshot = None
    return max(state.saved_time(state_dir), 0 if snapshot is None else to_ns(snapshot.time))


def synchronised(reading: Reading) -> Finding:
    if reading.synchronised:
        return Finding("ok", "clock", "synchronised")
    return Finding(
        "warning",
        "clock",
        "not synchronised, says the kernel: registrations begin and end by it",
        SET_IT,
    )


def behind(reading: Reading, floor: int) -> Iterator[Finding]:
    """The wall clock, against a time that is surely past."""
    if seconds := Clock(reading, floor).behind(reading) / 1e9:
        yield Finding(
            "warning",
            "clock",
            f"{seconds:.0f} s behind what this router last saw; the agent takes that for now",
            SET_IT,
        )
    elif reading.wall < floor:
        yield Finding(
            "warning",
            "clock",
            f"{(floor - reading.wall) / 1e9:.0f} s behind what this router last saw, and said to "
            "be synchronised: the agent follows it",
            "find out which of the two was wrong: chronyc tracking, or timedatectl",
        )


def offset(seconds: float) -> Finding:
    """Of the registry's clock, less our own."""
    if abs(seconds) <= TOLERANCE:
        return Finding("ok", "clock", f"within {TOLERANCE:.0f} s of the registry's")
    side = "behind" if seconds > 0 else "ahead of"
    return Finding(
        "warning",
        "clock",
        f"{abs(seconds):.0f} s {side} the registry's: peers begin and end here by that much "
        f"{'late' if seconds > 0 else 'early'}",
        f"{SET_IT}; on the registry too",
    )
