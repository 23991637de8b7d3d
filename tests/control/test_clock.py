"""What now is, whatever the wall clock says."""

import time

import pytest

from control.clock import Clock, Reading, read_clocks

S = 10**9
NOVEMBER = 1_795_000_000 * S


def reading(wall: int, monotonic: int, synchronised: bool = False) -> Reading:
    return Reading(wall, monotonic, synchronised)


def test_now_is_the_wall_clock() -> None:
    clock = Clock(reading(NOVEMBER, 5 * S), floor=NOVEMBER - 60 * S)
    assert clock.now(5 * S) == NOVEMBER
    assert clock.now(7 * S) == NOVEMBER + 2 * S
    assert clock.behind(reading(NOVEMBER, 5 * S)) == 0


def test_a_router_that_wakes_in_1970_goes_on_from_what_it_last_saw() -> None:
    clock = Clock(reading(3 * S, 3 * S), floor=NOVEMBER)
    assert clock.now(3 * S) == NOVEMBER
    assert clock.behind(reading(3 * S, 3 * S)) == NOVEMBER - 3 * S
    assert clock.step(reading(10 * S, 10 * S)) == 0
    assert clock.now(10 * S) == NOVEMBER + 7 * S


def test_until_the_wall_clock_has_caught_up() -> None:
    clock = Clock(reading(3 * S, 3 * S), floor=NOVEMBER)
    # A boot script guesses: better than 1970, still before what we know.
    assert clock.step(reading(NOVEMBER - 900 * S, 4 * S)) == 0
    assert clock.step(reading(NOVEMBER + 500 * S, 5 * S)) == 498 * S
    # From then on it is followed both ways.
    assert clock.step(reading(NOVEMBER + 1 * S, 6 * S)) == -500 * S
    assert clock.now(6 * S) == NOVEMBER + 1 * S


def test_a_synchronised_wall_clock_is_believed() -> None:
    """The time saved was wrong: somebody had set the clock to the far future."""
    clock = Clock(reading(NOVEMBER, 3 * S), floor=NOVEMBER + 86400 * S)
    assert clock.now(3 * S) == NOVEMBER + 86400 * S
    assert clock.step(reading(NOVEMBER + 1 * S, 4 * S, synchronised=True)) == -86400 * S
    assert clock.now(4 * S) == NOVEMBER + 1 * S


def test_two_readings_are_no_step() -> None:
    clock = Clock(reading(NOVEMBER, 5 * S), floor=0)
    assert clock.step(reading(NOVEMBER + S + 300_000, 6 * S)) == 0
    assert clock.now(6 * S) == NOVEMBER + S
    assert clock.step(reading(NOVEMBER + 2 * S + 300_000_000, 7 * S)) == 300_000_000


def test_a_process_that_has_to_wait_sees_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others run between the readings, twice."""
    clock = Clock(read_clocks(), floor=0)
    wall, waits = time.time_ns, iter((0.02, 0.02))

    def late() -> int:
        now = wall()
        time.sleep(next(waits, 0.0))
        return now

    monkeypatch.setattr(time, "time_ns", late)
    assert clock.step(read_clocks()) == 0
    assert next(waits, None) is None
