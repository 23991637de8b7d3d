"""A gateway goes over from monitor to enforce: planned, switched, confirmed or not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

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
