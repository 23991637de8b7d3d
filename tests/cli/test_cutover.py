"""A cut-over by the command line, against a real registry whose clock is set ahead."""

from datetime import timedelta

import pytest

from cli.cutover import span
from lab.watch import wait_until
from tests.api.bodies import text
from tests.cli.conftest import Peergate, Running
from tests.cli.hub import MINUTE, Hub

HOUR = timedelta(hours=1)


@pytest.fixture
def hub(peergate: Peergate, registry: Running) -> Hub:
    made = Hub.made(peergate, registry)
    made.report()
    return made


def state(hub: Hub) -> str:
    found: str = hub.peergate("gateway", "show", "hub", "--json").json["cutover"]["state"]
    return found


def test_planned_switched_and_confirmed(hub: Hub) -> None:
    at = text((hub.now + HOUR).replace(microsecond=0))
    plan = ("gateway", "plan-cutover", "hub", "--at", at)
    dry = hub.peergate(*plan, "--dry-run")
    assert dry.code == 0
    assert f"monitor now, enforce from {at} on" in dry.out
    assert f"hub would go over to enforce at {at}, in " in dry.out
    assert hub.peergate("gateway", "show", "hub", "--json").json["cutover"] is None
    planned = hub.peergate(*plan, "--confirm-within", "2h")
    assert planned.code == 0, planned.err
    assert planned.out.startswith(f"hub goes over to enforce at {at}, in ")
    assert "it monitors again" in planned.out
    again = hub.peergate("gateway", "plan-cutover", "hub", "--at", "2099-12-01T16:00Z")
    assert (again.code, "take it back first" in again.err) == (1, True)
    hub.registry.clock.ahead += HOUR + MINUTE  # else two hours may be left, rounded
    assert state(hub) == "switched"
    shown = hub.peergate("gateway", "show", "hub").out
    assert f"switched at {at}, awaiting confirmation until" in shown
    assert "left, then it monitors again" in shown
    listed = hub.peergate("gateway", "list").out
    assert "awaiting confirmation" in listed
    assert " 1 h " in listed
    done = hub.peergate("gateway", "confirm-cutover", "hub")
    first, then = done.out.splitlines()
    assert (done.code, first) == (0, "hub enforces for good")
    assert then.startswith("1 router is yet to have it: edge-1 (peergate gateway show hub); ")
    shown = hub.peergate("gateway", "show", "hub").out
    assert "not in force at edge-1 yet" in shown
    hub.report()
    shown = hub.peergate("gateway", "show", "hub").out
    assert "not in force" not in shown
    assert "confirmed at" in shown
    assert "by admin" in shown
    assert "confirmed" in hub.peergate("gateway", "list").out
    twice = hub.peergate("gateway", "confirm-cutover", "hub")
    assert (twice.code, "is confirmed already, by admin" in twice.err) == (1, True)


def test_unconfirmed_it_lapses(hub: Hub) -> None:
    at = text(hub.now + HOUR)
    planned = hub.peergate(
        "gateway", "plan-cutover", "hub", "--at", at, "--confirm-within", "1m", "--json"
    )
    assert planned.json["state"] == "planned"
    hub.registry.clock.ahead += HOUR + MINUTE
    assert state(hub) == "lapsed"
    # Noted, too: from then on it is another state of the gateway.
    assert wait_until(lambda: "monitor" in hub.peergate("gateway", "show", "hub").out, 30)
    assert "lapsed at" in hub.peergate("gateway", "show", "hub").out
    late = hub.peergate("gateway", "confirm-cutover", "hub")
    assert (late.code, "has lapsed at" in late.err) == (1, True)


def test_strangers_hold_it_up(hub: Hub) -> None:
    hub.knock(f"203.0.113.{n}" for n in range(1, 13))
    plan = ("gateway", "plan-cutover", "hub", "--at", "2099-12-01T16:00Z")
    refused = hub.peergate(*plan)
    assert refused.code == 1
    first, *others = refused.err.splitlines()
    assert "12 active strangers are neither registered nor signed off at hub" in first
    assert len(others) == 10
    assert hub.peergate("gateway", "show", "hub", "--json").json["cutover"] is None
    dry = hub.peergate(*plan, "--dry-run")
    assert (dry.code, "12 active strangers" in dry.err) == (1, True)
    assert "203.0.113.12" in dry.out
    done = hub.peergate(*plan, "--override", "They were told in June")
    assert done.code == 0
    assert "12 strangers are overridden, and more than 10" in done.err
    shown = hub.peergate("gateway", "show", "hub").out
    assert "strangers neither registered nor signed off: 12" in shown
    assert "overridden: They were told in June" in shown
    assert "strangers count" not in shown
    assert "strangers left: 12" in hub.peergate("gateway", "list").out


def test_taken_back(hub: Hub) -> None:
    plan = ("gateway", "plan-cutover", "hub", "--at", "2099-12-01T16:00Z")
    hub.peergate(*plan)
    done = hub.peergate("gateway", "return", "hub")
    assert done.code == 0
    assert done.out == (
        "hub monitors: its cut-over is cancelled\n"
        "1 router is yet to have it: edge-1 (peergate gateway show hub)\n"
    )
    never = hub.peergate("gateway", "return", "hub")
    assert (never.code, "the last one is cancelled" in never.err) == (1, True)
    hub.knock(["203.0.113.1", "203.0.113.2"])
    at = text(hub.now + HOUR)
    again = ("gateway", "plan-cutover", "hub", "--at", at, "--most-dropped-sources", "2")
    done = hub.peergate(*again, "--min-minutes", "2", "--override", "A test")
    assert done.code == 0
    shown = hub.peergate("gateway", "show", "hub").out
    assert "not in force at edge-1 yet" in shown
    assert "strangers count that were seen in the last 7 days, in 2 minutes or more" in shown
    hub.registry.clock.ahead += HOUR
    assert state(hub) == "switched"
    hub.knock(["203.0.113.1"], dropped=True)
    shown = hub.peergate("gateway", "show", "hub").out
    assert "sources that passed until then and are dropped: 1, at most 2 may be" in shown
    done = hub.peergate("gateway", "return", "hub", "--reason", "A branch is cut off", "--json")
    assert (done.code, done.json["state"]) == (0, "returned")
    shown = hub.peergate("gateway", "show", "hub").out
    assert "by admin: A branch is cut off" in shown


@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        (("--at", "soon"), 2, "--at soon: must be a time with its zone"),
        (("--at", "2099-12-01T16:00Z", "--confirm-within", "15"), 2, "--confirm-within 15: must"),
        (("--at", "2020-12-01T16:00Z"), 1, "this is in the past"),
        (("--at", "2099-12-01T16:00Z", "--confirm-within", "8d"), 1, "confirm_within"),
    ],
)
def test_what_is_no_plan(hub: Hub, wrong: tuple[str, ...], code: int, said: str) -> None:
    refused = hub.peergate("gateway", "plan-cutover", "hub", *wrong)
    assert (refused.code, said in refused.err) == (code, True), refused.err


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 m"),
        (754, "12 m 34 s"),
        (3_600, "1 h"),
        (86_400 + 3_599, "1 d"),
        (2 * 86_400 + 19 * 3_600, "2 d 19 h"),
    ],
)
def test_spans_in_two_units(seconds: int, said: str) -> None:
    assert span(seconds) == said
