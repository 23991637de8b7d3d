"""The readiness report on a terminal and for scripts, against a real registry."""

from datetime import timedelta

import pytest

from tests.cli.conftest import Peergate, Running
from tests.cli.hub import Hub

PEER = ("--gateway", "hub", "--owner", "Branches", "--contact", "netops@example.net")


@pytest.fixture
def hub(peergate: Peergate, registry: Running) -> Hub:
    return Hub.made(peergate, registry)


def test_who_would_be_cut_off(hub: Hub) -> None:
    hub.report()
    hub.knock(f"203.0.113.{n}" for n in range(1, 13))
    add = ("--source", "192.0.2.1", "--purpose", "a tunnel", *PEER)
    for name in ("branch-7", "branch-8"):
        hub.peergate("peer", "add", name, *add)
    hub.peergate("peer", "approve", "branch-7")
    shown = hub.peergate("gateway", "readiness", "hub")
    assert shown.code == 1
    assert "1 active: 0 seen, of them 0 in the last 7 days; 1 never seen" in shown.out
    assert "1 pending, 0 not yet valid, 0 ended" in shown.out
    assert "12 seen in the last 7 days, neither registered nor signed off" in shown.out
    assert "these are the first 10 of 12: --json shows 100" in shown.out
    lines = [line.strip() for line in shown.out.splitlines()]
    at = [lines.index(title) for title in ("never seen", "pending")]
    assert "branch-7" in "".join(lines[slice(*at)])
    assert "branch-8" in "".join(lines[at[1] :])
    (router,) = (line for line in shown.out.splitlines() if line.lstrip().startswith("edge-1"))
    assert "eth0" in router
    warning, message, *_ = shown.err.splitlines()
    assert warning.startswith("warning: hub is there since ")
    assert message.startswith("peergate: hub is not ready to go over: 12 active strangers are")
    as_json = hub.peergate("gateway", "readiness", "hub", "--json")
    assert (as_json.code, as_json.json["ready"]) == (1, False)
    assert len(as_json.json["strangers"]["first"]) == 12


def test_a_gateway_that_is_ready(hub: Hub) -> None:
    hub.registry.clock.ahead += timedelta(days=8)
    hub.report()
    hub.knock(["203.0.113.9"])
    ready = hub.peergate("gateway", "readiness", "hub", "--min-minutes", "4")
    assert ready.code == 0
    assert ready.err.startswith("warning: days 7 and min_minutes 4 leave out 1 sources")
    assert "0 seen in the last 7 days, in 4 minutes or more, neither" in ready.out
    then = hub.peergate("gateway", "readiness", "hub", "--at", "2099-12-01T16:00:00Z")
    assert "monitor now, enforce from 2099-12-01T16:00:00Z on" in then.out


def test_several_reasons_stand_one_below_the_other(hub: Hub) -> None:
    refused = hub.peergate("gateway", "readiness", "hub")
    assert refused.code == 1
    assert "no router that carries hub has ever reported (edge-1): start its agent" in refused.err
    hub.peergate("gateway", "set", "hub", "--mode", "enforce")
    lines = hub.peergate("gateway", "readiness", "hub").err.splitlines()
    assert "peergate: hub is not ready to go over" in lines
    assert "  hub enforces already, for good" in lines
    assert any(line.startswith("warning: edge-1: has not reported") for line in lines)
    wrong = hub.peergate("gateway", "readiness", "hub", "--at", "soon")
    assert (wrong.code, "--at soon: must be a time" in wrong.err) == (2, True)
