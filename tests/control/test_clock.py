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


def heard(clock: Clock, ahead: int, *, times: int = 3, trip: int = 20_000_000) -> Clock:
    """The registry's clock is so far ahead of a wall clock that shows NOVEMBER at 0."""
    for turn in range(times):
        sent = turn * 30 * S
        clock.hear(NOVEMBER + sent + trip // 2 + ahead, sent, sent + trip)
    return clock


def test_an_unsynchronised_clock_gives_way_to_the_registrys() -> None:
    for ahead in (400 * S, -400 * S):
        clock = heard(Clock(reading(NOVEMBER, 0), floor=0), ahead, times=2)
        assert clock.step(reading(NOVEMBER + 60 * S, 60 * S)) == 0
        heard(clock, ahead)
        now = reading(NOVEMBER + 61 * S, 61 * S)
        assert (clock.step(now), clock.follows_registry) == (ahead, True)
        assert clock.ahead(now) == clock.correction(now) == ahead
        # Set right, it counts again at once, before the registry is heard again.
        mended = reading(NOVEMBER + 62 * S + ahead + 7, 62 * S)
        assert clock.step(mended) == 0
        assert (clock.correction(mended), clock.follows_registry) == (-7, False)


def test_a_clock_that_is_synchronised_or_nearly_right_is_kept() -> None:
    clock = heard(Clock(reading(NOVEMBER, 0), floor=0), 400 * S)
    now = reading(NOVEMBER + 61 * S, 61 * S, synchronised=True)
    # What is off by more than the bound is told, whoever is right.
    assert (clock.step(now), clock.ahead(now)) == (0, 400 * S)
    clock = heard(Clock(reading(NOVEMBER, 0), floor=0), 1_900_000_000)
    assert clock.step(reading(NOVEMBER + 61 * S, 61 * S)) == 0


@pytest.mark.parametrize("days", [-20_000, -1.01, 1.01, 365])
def test_a_wild_time_is_not_followed(days: float) -> None:
    clock = heard(Clock(reading(NOVEMBER, 0), floor=0), round(days * 86400 * S), times=9)
    assert clock.step(reading(NOVEMBER + 400 * S, 400 * S)) == 0


def test_a_registry_cannot_lead_a_clock_away_step_by_step() -> None:
    clock = Clock(reading(NOVEMBER, 0), floor=0)
    for hours in range(0, 60, 6):
        heard(clock, hours * 3600 * S)
        clock.step(reading(NOVEMBER + 100 * S, 100 * S))
        assert clock.correction(reading(NOVEMBER + 100 * S, 100 * S)) <= 24 * 3600 * S
    assert not clock.follows_registry


def test_times_that_took_long_or_do_not_agree_say_nothing() -> None:
    clock = heard(Clock(reading(NOVEMBER, 0), floor=0), 400 * S, trip=1_100_000_000)
    assert clock.ahead(reading(NOVEMBER, 0)) is None
    for ahead in (400, 100, 250, 600):
        heard(clock, ahead * S, times=1)
        assert clock.step(reading(NOVEMBER + 61 * S, 61 * S)) == 0


def test_a_measurements_own_error_moves_nothing() -> None:
    clock = heard(Clock(reading(NOVEMBER, 0), floor=0), 400 * S)
    clock.step(reading(NOVEMBER + 61 * S, 61 * S))
    heard(clock, 400 * S + 300_000_000)
    assert clock.step(reading(NOVEMBER + 62 * S, 62 * S)) == 0


def test_a_router_that_woke_in_1970_hears_what_time_it_is() -> None:
    """From what it last saw, the registry is a few hours ahead."""
    clock = Clock(reading(3 * S, 0), floor=NOVEMBER)
    heard(clock, 5 * 3600 * S)
    assert clock.step(reading(64 * S, 61 * S)) == 5 * 3600 * S


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
