"""A gateway goes over from monitor to enforce: planned, switched, confirmed or not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api.records import Role
from api.registry.attention import Attention
from api.registry.cutover_watch import keep_time
from api.settings import Settings
from lab.watch import wait_until
from tests.api.bodies import NOW, text
from tests.api.conftest import Service, on_sqlite
from tests.api.cutovers import (
    ANY,
    AT,
    FOR_GOOD,
    HUB,
    MINUTE,
    MONITOR,
    PLANNED,
    UNTIL,
    Hub,
)
from tests.api.strangers import seen, told

DAY = timedelta(days=1)


@pytest.fixture
def hub(service: Service) -> Hub:
    return Hub.made(service)


def test_one_revision_tells_the_kernels_all(hub: Hub) -> None:
    before = hub.service.revision
    planned = hub.try_to_plan()
    assert planned.status_code == 200, planned.text
    assert planned.headers["ETag"] == hub.service.admin.get(HUB).headers["ETag"]
    assert planned.json() == {
        "state": "planned",
        "at": text(AT),
        "until": text(UNTIL),
        "seconds": 4 * 3600,
        "most_dropped_sources": 10,
        "days": 7,
        "min_minutes": 1,
        "override": None,
        "strangers": 0,
        "revision": before + 1,
        "planned": text(NOW),
        "planned_by": "a-approver",
        "ended": None,
        "ended_by": None,
        "reason": None,
        "dry_run": False,
        "warnings": [],
    }
    assert (hub.service.revision, hub.window) == (before + 1, PLANNED)
    shown = hub.cutover
    assert shown["routers"] == [{"name": "edge-1", "has_it": False, "warnings": []}]
    hub.report()
    assert hub.cutover["routers"][0]["has_it"] is True
    assert hub.trail() == [("cutover.plan", "a-approver")]
    (event,) = hub.events()
    assert (event["type"], event["subject"], event["revision"]) == (
        "cutover.planned",
        "hub",
        before + 1,
    )
    assert event["content"] == {
        "at": text(AT),
        "until": text(UNTIL),
        "strangers": 0,
        "override": None,
        "most_dropped_sources": 10,
    }


def test_confirmed_it_enforces_for_good(hub: Hub) -> None:
    hub.plan(confirm_within=60)
    hub.go_to(AT - MINUTE)
    assert (hub.state, hub.cutover["seconds"]) == ("planned", 60)
    early = hub.act("confirm")
    assert (early.status_code, early.json()["type"]) == (409, "/problems/not-switched")
    assert f"does not enforce before {text(AT)}" in early.json()["detail"]
    hub.go_to(AT)
    assert (hub.state, hub.cutover["seconds"]) == ("switched", 60)
    hub.go_to(AT + MINUTE / 2)
    assert hub.cutover["seconds"] == 30
    done = hub.act("confirm")
    assert (done.status_code, done.json()["state"]) == (200, "confirmed")
    assert done.headers["ETag"] == hub.service.admin.get(HUB).headers["ETag"]
    assert hub.window == FOR_GOOD
    hub.go_to(UNTIL + DAY)
    shown = hub.cutover
    assert (hub.window, shown["state"], shown["seconds"]) == (FOR_GOOD, "confirmed", None)
    assert (shown["ended"], shown["ended_by"]) == (text(AT + MINUTE / 2), "a-approver")
    assert hub.trail() == [
        ("cutover.plan", "a-approver"),
        ("cutover.switch", "peergate"),
        ("cutover.confirm", "a-approver"),
    ]
    assert hub.told() == ["planned", "switched", "confirmed"]
    again = hub.act("confirm")
    assert (again.status_code, again.json()["type"]) == (409, "/problems/not-switched")
    assert "is confirmed already, by a-approver" in again.json()["detail"]
    another = hub.try_to_plan(at=text(UNTIL + 2 * DAY))
    assert (another.status_code, another.json()["type"]) == (409, "/problems/enforces")


@on_sqlite
def test_who_is_yet_to_hear_of_it(hub: Hub) -> None:
    """A confirmation or a return that has not come there: it lapses, or goes on."""
    hub.plan()
    hub.report()
    hub.go_to(AT)
    assert hub.missing == []
    for action in ("confirm", "return"):
        done = hub.act(action, {} if action == "return" else None).json()
        assert (done["without_it"], done["revision"]) == (["edge-1"], hub.service.revision)
        assert hub.missing == ["edge-1"]
        hub.report()
        assert hub.missing == []
    hub.plan(at=text(AT + DAY))
    hub.report()
    hub.act("return", {})
    assert hub.missing == ["edge-1"]
    hub.report()
    assert (hub.state, hub.missing) == ("cancelled", [])


def test_unconfirmed_it_lapses(hub: Hub) -> None:
    hub.plan()
    hub.report()
    hub.go_to(AT)
    (_, switched) = hub.events()
    assert switched["content"]["without_it"] == []
    hub.go_to(UNTIL - MINUTE)
    assert (hub.state, hub.window) == ("switched", PLANNED)
    before = hub.service.revision
    hub.go_to(UNTIL)
    assert (hub.state, hub.window) == ("lapsed", MONITOR)
    assert hub.service.revision == before + 1
    shown = hub.cutover
    assert (shown["ended_by"], shown["reason"]) == (
        "peergate",
        f"nobody confirmed it until {text(UNTIL)}",
    )
    late = hub.act("confirm")
    assert late.status_code == 409
    assert "has lapsed" in late.json()["detail"]
    assert hub.trail()[-1] == ("cutover.lapse", "peergate")
    assert hub.told() == ["planned", "switched", "lapsed"]
    keep_time(hub.service.app.state.registry)
    assert hub.service.revision == before + 1
    # Another one may be planned at once.
    assert hub.plan(at=text(UNTIL + DAY))["state"] == "planned"
    items = hub.service.admin.get("/v1/audit?subject=cutover/hub").json()["items"]
    assert items[0]["before"]["state"] == "lapsed"


def test_a_registry_that_was_away_notes_all_of_it(hub: Hub) -> None:
    """And says what is, before it has noted it."""
    hub.plan()
    registry = hub.service.app.state.registry
    hub.service.clock.now = UNTIL
    assert hub.gateway["cutover"]["state"] == "lapsed"
    assert hub.act("confirm").status_code == 409
    keep_time(registry)
    assert hub.told() == ["planned", "switched", "lapsed"]
    (_, switched, _) = hub.events()
    assert switched["content"]["without_it"] == ["edge-1"]


def test_a_plan_notes_that_the_last_one_lapsed(hub: Hub) -> None:
    """Which is nobody's doing; and so it stands there."""
    hub.plan()
    hub.service.clock.now = UNTIL
    hub.plan(at=text(UNTIL + DAY))
    keep_time(hub.service.app.state.registry)
    assert hub.told() == ["planned", "switched", "lapsed", "planned"]
    assert hub.authors() == ["a-approver", "peergate", "peergate", "a-approver"]
    assert [name for _, name in hub.trail()] == hub.authors()
    assert hub.state == "planned"


def test_who_confirms_what_nobody_has_noted_yet_did_not_switch_it(hub: Hub) -> None:
    hub.plan()
    hub.service.clock.now = AT
    assert hub.act("confirm").status_code == 200
    assert hub.trail() == [
        ("cutover.plan", "a-approver"),
        ("cutover.switch", "peergate"),
        ("cutover.confirm", "a-approver"),
    ]
    assert hub.authors() == ["a-approver", "peergate", "a-approver"]
    items = hub.service.admin.get("/v1/audit?subject=cutover/hub").json()["items"]
    confirmed, switched, _ = items
    assert (switched["actor"]["role"], switched["from"], switched["request"]) == (None, None, None)
    assert confirmed["actor"]["role"] == "approver"
    assert confirmed["request"] is not None
    assert hub.cutover["ended_by"] == "a-approver"


def test_the_service_keeps_time_by_itself(hub: Hub) -> None:
    hub.plan()
    hub.service.clock.now = AT
    assert wait_until(lambda: hub.told()[-1] == "switched", 20)
    hub.service.clock.now = UNTIL
    assert wait_until(lambda: hub.window == MONITOR, 20)


def test_strangers_hold_it_up(hub: Hub) -> None:
    service = hub.service
    told(service, *(seen(f"203.0.113.{n}", minutes=2 * n) for n in (1, 2, 3)))
    told(service, seen("2001:db8::9"), until=NOW + MINUTE)
    refused = hub.try_to_plan()
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/strangers")
    problem = refused.json()
    assert problem["detail"].startswith(
        "4 active strangers are neither registered nor signed off at hub, first of all 203.0.113.3"
    )
    assert problem["total"] == 4
    assert [each["value"] for each in problem["errors"]] == [
        "203.0.113.3",
        "203.0.113.2",
        "2001:db8::9",
        "203.0.113.1",
    ]
    assert (hub.window, hub.told()) == (MONITOR, [])
    dry = hub.try_to_plan(dry_run=True)
    assert (dry.status_code, dry.json()["detail"]) == (409, problem["detail"])
    hub.service.add_peer(sources=["203.0.113.3"])
    sign_off = {"gateway": "hub", "prefix": "203.0.113.0/30", "reason": "scanners"}
    assert service.clients[Role.APPROVER].post("/v1/sign-offs", json=sign_off).status_code == 201
    one = hub.try_to_plan()
    assert "1 active stranger is neither registered nor" in one.json()["detail"]
    # The waiting one does not count yet.
    number = hub.service.request_peer(name="waits", sources=["2001:db8::9"])
    assert "udp/51820, in 3 minutes" in hub.try_to_plan().json()["errors"][0]["rule"]
    assert f"peer {number} is pending" in hub.try_to_plan().json()["errors"][0]["rule"]
    hub.service.act(number, "approve")
    hub.plan()


def test_whom_the_plan_leaves_out(hub: Hub) -> None:
    told(hub.service, seen("203.0.113.1", minutes=2))
    dry = hub.try_to_plan(min_minutes=3, dry_run=True)
    assert dry.status_code == 200
    (left_out,) = dry.json()["warnings"]
    assert left_out == (
        "days 7 and min_minutes 3 leave out 1 sources that were seen in the last 7 days and would "
        "be cut off, too, nor does the early return count whom min_minutes leaves out"
    )
    query = {"min_minutes": 3}
    shown = hub.service.admin.get(f"{HUB}/readiness", params=query).json()
    assert shown["warnings"] == [left_out]
    hub.go_to(NOW + 2 * DAY)
    later = {"at": text(NOW + 3 * DAY)}
    assert hub.try_to_plan(**later, dry_run=True).status_code == 409
    planned = hub.plan(**later, days=1)
    assert planned["days"] == 1
    assert planned["warnings"][-1].endswith("seen in the last 7 days and would be cut off, too")
    content = hub.events()[0]["content"]
    assert (content["days"], content["min_minutes"]) == (1, 1)


def test_an_override_stands_in_the_trail(hub: Hub) -> None:
    sources = [f"203.0.113.{n}" for n in range(120)]
    told(hub.service, *(seen(each) for each in sources))
    told(hub.service, *(seen(each, service="udp/500") for each in sources), until=NOW + MINUTE)
    planned = hub.plan(override="They were told in June", most_dropped_sources=1)
    assert (planned["override"], planned["strangers"]) == ("They were told in June", 120)
    assert (
        "120 strangers are overridden, and more than 1 that are dropped" in planned["warnings"][0]
    )
    (made,) = hub.service.admin.get("/v1/audit?subject=cutover/hub").json()["items"]
    assert made["after"]["override"] == "They were told in June"
    assert sorted(made["after"]["overridden"]) == sorted(sources)
    assert hub.events()[0]["content"]["override"] == "They were told in June"


def test_there_may_be_nothing_to_override(hub: Hub) -> None:
    planned = hub.plan(override="Just in case")
    assert (planned["override"], planned["warnings"]) == (None, [])


def test_by_the_four_eyes_rule_another_one_confirms_an_override(hub: Hub) -> None:
    hub.service.admin.patch("/v1/rules", json={"four_eyes": True}, headers=ANY)
    told(hub.service, seen("203.0.113.1"))
    hub.switch(override="They were told in June")
    alone = hub.act("confirm")
    assert (alone.status_code, alone.json()["type"]) == (403, "/problems/four-eyes")
    assert hub.act("confirm", role=Role.ADMIN).json()["state"] == "confirmed"


def test_without_an_override_one_is_enough(hub: Hub) -> None:
    hub.service.admin.patch("/v1/rules", json={"four_eyes": True}, headers=ANY)
    hub.switch()
    assert hub.act("confirm").status_code == 200


def test_strangers_that_come_later_are_told_of(hub: Hub) -> None:
    hub.plan()
    attention = Attention(hub.service.app.state.registry, ())
    attention.look()
    told(hub.service, seen("203.0.113.1", until=NOW), until=NOW)
    attention.look()
    attention.look()
    assert (hub.told(), hub.cutover["strangers"]) == (["planned", "strangers"], 1)
    assert [each["source"] for each in hub.cutover["left"]] == ["203.0.113.1"]
    (_, event) = hub.events()
    assert event["content"] == {"strangers": 1, "first": ["203.0.113.1"]}
    number = hub.service.add_peer(sources=["203.0.113.1"])
    attention.look()
    assert (hub.told(), hub.cutover["strangers"]) == (["planned", "strangers"], 0)
    hub.service.act(number, "revoke")
    attention.look()
    assert hub.told() == ["planned", "strangers", "strangers"]
    # It goes on all the same, and says so at the switch.
    hub.go_to(AT)
    assert hub.state == "switched"
    assert hub.events()[-1]["content"]["strangers"] == 1
    # One number for all who ask, then too.
    told(hub.service, seen("203.0.113.2", until=AT), until=AT)
    attention.look()
    assert (hub.told()[-1], hub.cutover["strangers"], len(hub.cutover["left"])) == (
        "switched",
        2,
        2,
    )


def test_a_dry_run_changes_nothing(hub: Hub) -> None:
    dry = hub.try_to_plan(dry_run=True)
    assert (dry.status_code, dry.json()["dry_run"], dry.json()["state"]) == (200, True, "planned")
    assert (hub.window, hub.gateway["cutover"], hub.told()) == (MONITOR, None, [])
    none = hub.service.admin.get(f"{HUB}/cutover")
    assert (none.status_code, none.json()["type"]) == (404, "/problems/no-cutover")
    assert hub.act("confirm").status_code == 404


def test_one_at_a_time(hub: Hub) -> None:
    hub.plan()
    again = hub.try_to_plan(at=text(AT + DAY))
    assert (again.status_code, again.json()["type"]) == (409, "/problems/cutover-under-way")
    assert f"a cut-over planned for {text(AT)}: take it back first" in again.json()["detail"]
    hub.go_to(AT)
    again = hub.try_to_plan(at=text(AT + DAY))
    assert f"switched at {text(AT)} and may be confirmed until" in again.json()["detail"]


def test_it_is_meant_for_one_state_of_the_gateway(hub: Hub) -> None:
    approver = hub.service.clients[Role.APPROVER]
    body = {"at": text(AT)}
    shown = approver.get(f"{HUB}/readiness")
    etag = {"If-Match": shown.headers["ETag"]}
    assert approver.put(f"{HUB}/cutover", json=body).status_code == 428
    services = {"services": ["wireguard", "udp/4433"]}
    hub.service.admin.patch(HUB, json=services, headers=ANY)
    assert approver.put(f"{HUB}/cutover", json=body, headers=etag).status_code == 412
    hub.report()
    hub.switch()
    assert approver.post(f"{HUB}/cutover/confirm").status_code == 428
    assert approver.post(f"{HUB}/cutover/confirm", headers=etag).status_code == 412


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"at": text(NOW)}, "at"),
        ({"at": text(NOW - DAY)}, "at"),
        ({"at": "9999-12-31T23:59:00Z"}, "at"),
        ({"at": "2026-12-01T16:00"}, "at"),
        ({"at": "soon"}, "at"),
        ({"confirm_within": 0}, "confirm_within"),
        ({"confirm_within": 7 * 86_400 + 1}, "confirm_within"),
        ({"most_dropped_sources": -1}, "most_dropped_sources"),
        ({"most_dropped_sources": 1_000}, "most_dropped_sources"),
        ({"days": 31}, "days"),
        ({"min_minutes": 0}, "min_minutes"),
        ({"override": ""}, "override"),
        ({"override": "\x1b]0;owned\x07"}, "override"),
        ({"mode": "enforce"}, "mode"),
    ],
)
def test_what_is_no_plan_is_refused(hub: Hub, fields: dict[str, Any], field: str) -> None:
    for dry_run in (True, False):
        refused = hub.try_to_plan(**fields, dry_run=dry_run)
        assert refused.status_code == 422, refused.text
        assert [each["field"] for each in refused.json()["errors"]] == [field]
    assert hub.window == MONITOR


def test_without_a_router_nothing_would_switch(service: Service) -> None:
    service.add_gateway(mode="monitor")
    hub = Hub(service)
    for override in (None, "I know"):
        never = hub.try_to_plan(override=override)
        assert (never.status_code, never.json()["type"]) == (409, "/problems/no-router")
    assert hub.service.admin.get("/v1/gateways/none/cutover").status_code == 404


def test_a_router_in_trouble_is_warned_of(hub: Hub) -> None:
    hub.service.clock.pass_time(5 * MINUTE)
    (warning,) = hub.plan()["warnings"]
    assert warning.startswith("edge-1: silent since")


def test_a_gateway_just_made_is_warned_of(service: Service) -> None:
    service.add_gateway(mode="monitor")
    hub = Hub(service)
    hub.report()
    (warning,) = hub.plan()["warnings"]
    assert warning.startswith(f"hub is there since {text(NOW)}, less than 7 days: ")


def test_several_processes_note_it_once(
    hub: Hub, start: Callable[[Settings], Service], settings: Settings
) -> None:
    other = start(replace(settings, poll_seconds=0.2))
    hub.plan()
    hub.service.clock.now = other.clock.now = AT
    for service in (hub.service, other):
        keep_time(service.app.state.registry)
    hub.service.clock.now = other.clock.now = UNTIL
    for service in (other, hub.service):
        keep_time(service.app.state.registry)
    assert hub.told() == ["planned", "switched", "lapsed"]
