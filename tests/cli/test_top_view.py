"""A view of `peergate top` on a small terminal, and with names that somebody made up."""

from datetime import UTC, datetime
from io import StringIO
from ipaddress import ip_address

import pytest
from rich.console import Console

from cli.top_view import Manner, as_json_line, as_text, on_screen
from control.top import Busy, GatewayRates, Rate, View

HOSTILE = "\x1b]0;gone\x07[bold]\u202eevil " + "x" * 200


def busy(number: int, gateway: str = "hub") -> Busy:
    source = ip_address(f"2001:db8:{number:x}:ffff:ffff:ffff:ffff:ffff")
    return Busy(gateway, source, HOSTILE, 1e6 / (number + 1), number, dropped=True)


def view(count: int) -> View:
    rates = {
        "registered_pass": Rate(1e7, 1e9),
        "unregistered_pass": Rate(0.4, 40),
        "expired_drop": Rate(12, 1200),
    }
    gateways = [GatewayRates(f"gateway-{n:02}", n % 2 == 0, rates) for n in range(count)]
    return View(
        router=HOSTILE,
        agent=None,
        time=datetime(2026, 11, 23, 12, tzinfo=UTC),
        seconds=2.0,
        gateways=(GatewayRates(None, enforces=False, rates={}), *gateways),
        peers=tuple(map(busy, range(count))),
        strangers=tuple(map(busy, range(count))),
        troubles=("uplink: packets cannot be looked at: run as root",),
    )


@pytest.mark.parametrize("height", [8, 24, 50])
@pytest.mark.parametrize("count", [0, 3, 40])
def test_it_fits_on_the_screen(height: int, count: int) -> None:
    out = StringIO()
    screen = Console(file=out, width=80, height=height, force_terminal=True, color_system=None)
    screen.print(on_screen(view(count), Manner(paused=True), height))
    lines = out.getvalue().splitlines()
    assert len(lines) <= max(height, 13)
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in out.getvalue()
    assert "\u202e" not in out.getvalue()
    assert lines[-1].startswith("q quit")
    if count and height >= 24:
        assert any(line.startswith("gateway-00") for line in lines)
        assert sum("\\x1b]0;gone" in line for line in lines) >= 1 + 2 * min(count, 4)


def test_what_it_says() -> None:
    out = StringIO()
    Console(file=out, width=120).print(as_text(view(2)))
    rows = [line.split() for line in out.getvalue().splitlines()]
    assert ["gateway-00", "enforces", "10,000,000", "-", "0.4", "12", "8,000.0"] in rows
    line = as_json_line(view(150))
    assert len(line["peers"]) == len(line["strangers"]) == 100
    assert line["gateways"][1]["rates"]["unregistered_pass"] == {"packets": 0.4, "bytes": 40}
    assert line["troubles"] == ["uplink: packets cannot be looked at: run as root"]


def test_by_name_what_is_sorted_is_the_source() -> None:
    out = StringIO()
    Console(file=out, width=120).print(on_screen(view(3), Manner(by_name=True), 40))
    sources = [line.split()[-4] for line in out.getvalue().splitlines() if "2001:db8" in line]
    assert sources == sorted(sources[:3]) * 2
