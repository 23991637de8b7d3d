"""What else may happen to a gateway while a cut-over is under way: nothing that nobody hears of."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.records import Role
from tests.api.bodies import gateway, text
from tests.api.conftest import Service
from tests.api.cutovers import ANY, AT, FOR_GOOD, HUB, MINUTE, MONITOR, PLANNED, UNTIL, Hub
from tests.api.follower import Follower

TO_MONITOR = {"mode": "monitor", "enforce_from": None, "enforce_until": None}
DAY = timedelta(days=1)


@pytest.fixture
def hub(service: Service) -> Hub:
    return Hub.made(service)


@pytest.fixture(params=[AT - MINUTE, AT], ids=["planned", "switched"])
def under_way(request: pytest.FixtureRequest, hub: Hub) -> Hub:
    hub.plan()
    hub.go_to(request.param)
    return hub


def edit(hub: Hub, **fields: object) -> httpx.Response:
    return hub.service.admin.patch(HUB, json=fields, headers=ANY)


def document(**fields: object) -> dict[str, Any]:
    return {"gateways": [gateway(**fields)], "peers": []}


def apply(hub: Hub, wanted: object, *, dry_run: bool = False) -> httpx.Response:
    query = {"dry_run": str(dry_run).lower()}
    return hub.service.admin.put("/v1/policy", json=wanted, headers=ANY, params=query)


def apply_lines(hub: Hub, wanted: dict[str, Any], *, dry_run: bool = False) -> httpx.Response:
    lines = "\n".join(json.dumps({"gateway": each}) for each in wanted["gateways"])
    query = {"dry_run": str(dry_run).lower()}
    client = hub.service.admin
    return client.post("/v1/policy/import", content=lines, headers=ANY, params=query)


def roll_back(hub: Hub, revision: int) -> None:
    body = {"to_revision": revision}
    done = hub.service.admin.post("/v1/rollback", json=body, headers=ANY)
    assert done.status_code == 200, done.text


@pytest.mark.parametrize(
    "fields",
    [
        {"addresses": ["198.51.100.2"]},
        {"services": ["wireguard", "udp/4433"]},
        {"enforce_until": None},
        {"enforce_until": text(UNTIL + DAY)},
        {"enforce_from": None},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_was_looked_at_stays(under_way: Hub, fields: dict[str, Any]) -> None:
    refused = edit(under_way, **fields)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/cutover-under-way")
    assert "peergate gateway return hub" in refused.json()["detail"]
    assert under_way.window == PLANNED
    # What it does not rest on may change.
    moved = edit(under_way, routers={"site": "fra"})
    assert moved.status_code == 200
    assert "routers that begin to carry it now take part" in moved.json()["warnings"][0]
    assert under_way.state in ("planned", "switched")


def test_set_to_monitor_it_is_taken_back(hub: Hub) -> None:
    hub.plan()
    assert edit(hub, **TO_MONITOR).json()["cutover"]["state"] == "cancelled"
    assert (hub.window, hub.told()) == (MONITOR, ["planned", "cancelled"])
    assert hub.trail()[-1] == ("cutover.cancel", "admin")
    hub.switch()
    assert edit(hub, **TO_MONITOR).json()["cutover"]["state"] == "returned"
    assert hub.told()[2:] == ["planned", "switched", "returned"]
    assert hub.cutover["reason"] == "gateway hub changed"
    assert hub.trail()[-1] == ("cutover.return", "admin")
    hub.go_to(UNTIL)
    assert (hub.window, hub.state) == (MONITOR, "returned")


def test_every_step_is_noted_of_one_whose_switch_was_not_yet(hub: Hub) -> None:
    hub.plan()
    hub.service.clock.now = AT
    edit(hub, **TO_MONITOR)
    assert hub.told() == ["planned", "switched", "returned"]
    assert hub.authors() == ["a-approver", "peergate", "admin"]


def test_of_one_that_has_lapsed_too(hub: Hub) -> None:
    hub.plan()
    hub.service.clock.now = UNTIL
    edit(hub, **TO_MONITOR)
    assert hub.told() == ["planned", "switched", "lapsed"]
    assert hub.authors() == ["a-approver", "peergate", "peergate"]
    assert hub.cutover["ended_by"] == "peergate"
    assert hub.cutover["reason"] == f"nobody confirmed it until {text(UNTIL)}"


@pytest.mark.parametrize("send", [apply, apply_lines])
@pytest.mark.parametrize("window", [{}, {"enforce_until": text(AT + DAY)}])
def test_a_document_leaves_it_alone(under_way: Hub, send: Any, window: dict[str, Any]) -> None:  # noqa: ANN401
    """One that is applied every hour knows nothing of it."""
    mode = "enforce" if window else "monitor"
    before = under_way.service.revision
    for dry_run in (True, False):
        done = send(under_way, document(mode=mode, **window), dry_run=dry_run)
        assert done.status_code == 200, done.text
        (warning,) = done.json()["warnings"]
        assert warning == ("hub: it has a cut-over under way: its mode and window stay as they are")
    assert (under_way.window, under_way.service.revision) == (PLANNED, before)
    # All else in it is done.
    also = document(mode=mode)
    also["gateways"].append(gateway(name="spoke", addresses=["198.51.100.2"]))
    assert send(under_way, also).status_code == 200
    assert under_way.service.admin.get("/v1/gateways/spoke").status_code == 200
    refused = send(under_way, document(mode=mode, services=["ipsec"]))
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/cutover-under-way")
    assert under_way.state in ("planned", "switched")


@pytest.mark.parametrize("send", [apply, apply_lines])
def test_an_exported_window_is_not_brought_back(hub: Hub, send: Any) -> None:  # noqa: ANN401
    hub.plan()
    exported = hub.service.admin.get("/v1/policy").json()
    assert exported["gateways"][0]["enforce_until"] == text(UNTIL)
    hub.go_to(AT)
    hub.act("confirm")
    done = send(hub, exported)
    (warning,) = done.json()["warnings"]
    assert warning.startswith("hub: it had a cut-over of this window: its mode and window stay")
    assert hub.window == FOR_GOOD
    # What is meant is done.
    assert send(hub, document(mode="monitor")).status_code == 200
    assert hub.window == MONITOR
    send(hub, exported)
    assert hub.window == MONITOR


def test_a_rollback_ends_it(hub: Hub) -> None:
    before = hub.service.revision
    hub.plan()
    roll_back(hub, before)
    assert (hub.window, hub.state) == (MONITOR, "cancelled")
    assert hub.cutover["reason"] == f"rollback to revision {before}"
    planned_at = before + 1
    # And none comes back with it.
    roll_back(hub, planned_at)
    assert (hub.window, hub.state) == (MONITOR, "cancelled")
    hub.plan()
    planned_at = hub.service.revision
    hub.service.add_peer()
    roll_back(hub, planned_at)
    assert (hub.window, hub.state) == (PLANNED, "planned")
    hub.go_to(AT)
    hub.act("confirm")
    roll_back(hub, planned_at)
    assert hub.window == MONITOR
    assert hub.told()[:2] == ["planned", "cancelled"]


def test_a_rollback_takes_it_back_once_it_has_switched(hub: Hub) -> None:
    before = hub.service.revision
    hub.switch()
    roll_back(hub, before)
    assert (hub.window, hub.told()[-1]) == (MONITOR, "returned")


def test_with_its_gateway_it_goes(under_way: Hub) -> None:
    state = under_way.state
    hub = under_way.service
    assert hub.admin.delete(HUB, headers=ANY).status_code == 204
    ended = "cancelled" if state == "planned" else "returned"
    assert under_way.told()[-1] == ended
    under_way.go_to(UNTIL)
    assert under_way.told()[-1] == ended
    hub.add_gateway(mode="monitor")
    assert under_way.gateway["cutover"] is None


# Canaries first.


@pytest.fixture
def staged(hub: Hub) -> Hub:
    """`canary-1` has each revision first, `edge-1` is among the rest."""
    hub.service.add_router("canary-1", stage="canary")
    rule = {"canaries": {"stage": "canary"}}
    assert hub.service.admin.put("/v1/rollout", json=rule, headers=ANY).status_code == 200
    return hub


def windows(hub: Hub) -> list[str | None]:
    """Until when the canary and the rest enforce; None is for good, "" not at all."""
    canary = hub.service.admin.get("/v1/allowlist?router=canary-1").json()
    rest = hub.service.admin.get("/v1/allowlist?router=edge-1").json()
    found = [view["gateways"][0] for view in (canary, rest)]
    return [each["enforce_until"] if each["mode"] == "enforce" else "" for each in found]


def release(hub: Hub) -> None:
    body = {"revision": hub.service.revision}
    assert hub.service.admin.post("/v1/rollout/confirm", json=body).status_code == 200


def test_canaries_go_over_first(staged: Hub) -> None:
    (*_, warning) = staged.plan()["warnings"]
    assert warning.startswith("a staged roll-out is set: edge-1 will switch then only if this")
    staged.report()
    assert staged.missing == ["canary-1", "edge-1"]
    assert windows(staged) == [text(UNTIL), ""]
    staged.go_to(AT)
    assert staged.events()[-1]["content"]["without_it"] == ["canary-1", "edge-1"]
    # Confirmed for those that have switched; the rest goes over when it is released.
    assert staged.act("confirm").status_code == 200
    assert windows(staged) == [None, ""]
    staged.report()
    assert staged.missing == ["canary-1", "edge-1"]
    release(staged)
    assert windows(staged) == [None, None]


def test_released_before_they_go_together(staged: Hub) -> None:
    follower = Follower(staged.service.add_router("edge-2"))
    staged.plan()
    release(staged)
    staged.report()
    assert staged.missing == ["canary-1", "edge-2"]
    assert windows(staged) == [text(UNTIL), text(UNTIL)]
    staged.go_to(AT)
    # Something else waits meanwhile, and goes on waiting.
    number = staged.service.add_peer()
    assert staged.act("confirm").status_code == 200
    assert windows(staged) == [None, None]
    assert staged.missing == ["canary-1", "edge-1", "edge-2"]
    staged.report()
    assert staged.missing == ["canary-1", "edge-2"]
    follower.follow()
    follower.check()
    assert number not in follower.peers
    assert follower.gateways["hub"]["enforce_until"] is None
    skipped = staged.service.admin.get("/v1/audit?subject=rollout").json()["items"][0]
    assert skipped["action"] == "rollout.skip"


def test_an_aborted_roll_out_takes_the_plan_along(staged: Hub) -> None:
    staged.plan()
    assert staged.service.admin.post("/v1/rollout/abort").status_code == 200
    assert windows(staged) == ["", ""]
    assert (staged.state, staged.told()) == ("cancelled", ["planned", "cancelled"])


def test_an_approver_plans_but_does_not_edit(hub: Hub) -> None:
    approver = hub.service.clients[Role.APPROVER]
    assert approver.patch(HUB, json={"mode": "enforce"}, headers=ANY).status_code == 403
    hub.plan()
