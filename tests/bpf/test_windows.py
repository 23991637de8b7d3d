"""Validity and enforcement in time: half-open windows in UTC, exact to the nanosecond."""

from ipaddress import ip_address

import pytest

from control.entries import Entries, Entry
from control.model import GatewayRow, Tables
from policy.window import FOREVER_NS
from tests.bpf import site
from tests.bpf.bench import ENFORCE, HOUR, MONITOR, NOW, Bench, entries, target
from tests.bpf.frames import ether, ip, udp

FRAME = ether(ip(site.REGISTERED[4], site.GATEWAY[4]) / udp())
STRANGER = ether(ip(site.STRANGER[4], site.GATEWAY[4]) / udp())


def hold(bench: Bench, entry: Entry, enforce: tuple[int, int] = ENFORCE) -> None:
    bench.hold(
        Tables(
            gateways={1: GatewayRow("hub", *enforce)},
            targets={ip_address(site.GATEWAY[4]): target((1, "wireguard"))},
            entries=Entries.of(entries(1, (site.REGISTERED[4], entry))),
        )
    )


@pytest.mark.parametrize(
    ("moment", "ended", "verdict"),
    [
        (0, False, "unregistered"),
        (NOW - 1, False, "unregistered"),
        (NOW, False, "registered"),
        (NOW + HOUR - 1, False, "registered"),
        (NOW + HOUR, False, "expired"),
        (FOREVER_NS, False, "expired"),
        (NOW - 1, True, "expired"),
        (NOW, True, "registered"),
        (NOW + HOUR, True, "expired"),
    ],
)
def test_validity(moment: int, ended: bool, verdict: str, program: Bench) -> None:
    hold(program, Entry(7, 0, NOW, NOW + HOUR, ended))
    said = program.plane.explain(FRAME, moment)
    assert (said.verdict, said.drop) == (verdict, verdict != "registered")
    assert said.entry == Entry(7, 32, NOW, NOW + HOUR, ended)


@pytest.mark.parametrize(
    ("start", "end", "moment", "verdict"),
    [
        (0, FOREVER_NS, 0, "registered"),
        (0, FOREVER_NS, FOREVER_NS, "registered"),
        (0, NOW, NOW - 1, "registered"),
        (0, NOW, NOW, "expired"),
        (NOW, FOREVER_NS, NOW - 1, "unregistered"),
        (NOW, FOREVER_NS, NOW, "registered"),
    ],
)
def test_window_open_on_a_side(
    start: int, end: int, moment: int, verdict: str, program: Bench
) -> None:
    hold(program, Entry(7, 0, start, end))
    assert program.plane.explain(FRAME, moment).verdict == verdict


@pytest.mark.parametrize(
    ("window", "moment", "drop"),
    [
        ((NOW, NOW + HOUR), NOW - 1, False),
        ((NOW, NOW + HOUR), NOW, True),
        ((NOW, NOW + HOUR), NOW + HOUR - 1, True),
        ((NOW, NOW + HOUR), NOW + HOUR, False),
        ((0, NOW), NOW - 1, True),
        ((0, NOW), NOW, False),
        ((NOW, FOREVER_NS), NOW - 1, False),
        ((NOW, FOREVER_NS), NOW, True),
        (ENFORCE, 0, True),
        (MONITOR, 0, False),
        (MONITOR, NOW, False),
        ((NOW, NOW), NOW, False),
    ],
)
def test_enforcement(window: tuple[int, int], moment: int, drop: bool, program: Bench) -> None:
    hold(program, Entry(7, 0), window)
    said = program.plane.explain(STRANGER, moment)
    assert (said.verdict, said.drop, said.would_drop) == ("unregistered", drop, not drop)
    assert not program.plane.explain(FRAME, moment).drop


@pytest.mark.parametrize("offset", [-2 * HOUR, -HOUR // 2, HOUR // 2, 2 * HOUR])
def test_live_entry_reads_the_clock(offset: int, program: Bench) -> None:
    """The maps' clock moves both windows; `judge` holds both entry points equal."""
    hold(program, Entry(7, 0, NOW - HOUR, NOW + HOUR), (NOW - HOUR, NOW + HOUR))
    inside = abs(offset) < HOUR
    assert program.judge(FRAME, NOW + offset).action == "pass"
    assert program.judge(STRANGER, NOW + offset).action == ("drop" if inside else "pass")
    verdict = "registered" if inside else "expired" if offset > 0 else "unregistered"
    assert program.judge(FRAME, NOW + offset).verdict == verdict


def test_clock_is_read_back(program: Bench) -> None:
    for offset in (0, 1, -1, NOW, -NOW):
        program.plane.set_clock(offset)
        assert program.plane.clock() == offset


def test_a_written_window_is_replaced_at_once(program: Bench) -> None:
    hold(program, Entry(7, 0, 0, NOW - HOUR))
    assert program.judge(FRAME).verdict == "expired"
    hold(program, Entry(7, 0, 0, NOW + HOUR))
    assert program.judge(FRAME).verdict == "registered"
    hold(program, Entry(7, 0, 0, NOW + HOUR), MONITOR)
    assert program.judge(STRANGER).action == "pass"
