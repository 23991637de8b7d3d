"""What holds a cut-over up, and what its plan warns of."""

from datetime import timedelta
from typing import Any

import pytest

from api.records import Role
from tests.api.bodies import NOW, text
from tests.api.conftest import Service
from tests.api.cutovers import (
    ANY,
    AT,
    HUB,
    MINUTE,
    MONITOR,
    Hub,
)
from tests.api.strangers import seen, told

DAY = timedelta(days=1)


@pytest.fixture
def hub(service: Service) -> Hub:
    return Hub.made(service)


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


def test_whose_registration_has_ended_holds_it_up(hub: Hub) -> None:
    """It would be cut off; renewed, it is not."""
    service = hub.service
    number = service.add_peer(valid_until=text(NOW + MINUTE))
    service.clock.pass_time(2 * MINUTE)
    hub.report()
    told(service, seen("203.0.113.7", until=service.clock.now), until=service.clock.now)
    refused = hub.try_to_plan()
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/strangers")
    (error,) = refused.json()["errors"]
    assert error["value"] == "203.0.113.7"
    assert error["rule"].endswith(f"; peer {number} is over by then: renew it")
    service.act(number, "renew", {"valid_until": None})
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


def test_a_dry_run_changes_nothing(hub: Hub) -> None:
    dry = hub.try_to_plan(dry_run=True)
    assert (dry.status_code, dry.json()["dry_run"], dry.json()["state"]) == (200, True, "planned")
    assert (hub.window, hub.gateway["cutover"], hub.told()) == (MONITOR, None, [])
    none = hub.service.admin.get(f"{HUB}/cutover")
    assert (none.status_code, none.json()["type"]) == (404, "/problems/no-cutover")
    assert hub.act("confirm").status_code == 404


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


def test_who_ends_before_the_switch_is_warned_of(hub: Hub) -> None:
    """Whoever passes until then is no stranger, and holds nothing up."""
    service = hub.service
    names = {"ends": AT, "stays": AT + MINUTE, "never-seen": AT - MINUTE}
    ids = {
        name: service.add_peer(name=name, sources=[f"203.0.113.{n}"], valid_until=text(until))
        for n, (name, until) in enumerate(names.items())
    }
    hub.report()
    registry = service.admin.get("/v1/status").json()["registry"]
    seen_at = [{"at": text(NOW - MINUTE), "peers": [ids["ends"], ids["stays"]]}]
    body = {"registry": registry, "seen": seen_at}
    assert service.agent.put("/v1/routers/edge-1/seen", json=body).is_success
    (warning,) = hub.try_to_plan(dry_run=True).json()["warnings"]
    assert warning == (
        "peers that were seen in the last 7 days end before the switch, which cuts them off: 1, "
        f"first of all {ids['ends']} (ends): renew them (peergate peer renew)"
    )
    service.act(ids["ends"], "renew", {"valid_until": None})
    hub.report()
    assert hub.plan()["warnings"] == []


def test_a_gateway_just_made_is_warned_of(service: Service) -> None:
    service.add_gateway(mode="monitor")
    hub = Hub(service)
    hub.report()
    (warning,) = hub.plan()["warnings"]
    assert warning.startswith(f"hub is there since {text(NOW)}, less than 7 days: ")
