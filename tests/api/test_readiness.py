"""Whether a gateway may go over: peers, strangers and routers as they will be then."""

from datetime import timedelta
from typing import Any

import pytest

from tests.api.bodies import NOW, WEEK, report, text
from tests.api.client import Client
from tests.api.conftest import Service, on_sqlite
from tests.api.cutovers import ANY, Hub
from tests.api.strangers import MINUTE, seen, told

DAY = timedelta(days=1)
LATER = NOW + DAY
COUNTS = {
    "hub": {
        "registered_pass": {"packets": 9, "bytes": 540},
        "unregistered_pass": {"packets": 7, "bytes": 420},
        "expired_pass": {"packets": 2, "bytes": 120},
    }
}


@pytest.fixture
def hub(service: Service) -> Service:
    """A gateway that monitors, on a router that has reported."""
    service.add_gateway(mode="monitor")
    report_as(service, counters=COUNTS)
    return service


def report_as(
    service: Service, *, by: Client | None = None, router: str = "edge-1", **fields: object
) -> None:
    registry = service.admin.get("/v1/status").json()["registry"]
    said = report(registry, service.revision, **fields)
    told = (by or service.agent).put(f"/v1/routers/{router}/report", json=said)
    assert told.status_code == 204


def readiness(service: Service, /, **query: object) -> dict[str, Any]:
    shown = service.admin.get("/v1/gateways/hub/readiness", params=query)
    assert shown.status_code == 200, shown.text
    found: dict[str, Any] = shown.json()
    return found


def against(service: Service, /, **query: object) -> list[str]:
    found = readiness(service, **query)
    assert found["ready"] is (found["against"] == [])
    return [each["type"] for each in found["against"]]


def left(service: Service, /, **query: object) -> list[str]:
    found = readiness(service, **query)["strangers"]
    assert found["sources"] == len({each["source"] for each in found["first"]})
    return [each["source"] for each in found["first"]]


def test_a_gateway_that_is_ready(hub: Service) -> None:
    shown = hub.admin.get("/v1/gateways/hub/readiness")
    assert shown.headers["ETag"] == hub.admin.get("/v1/gateways/hub").headers["ETag"]
    found = shown.json()
    assert (found["gateway"], found["at"]) == ("hub", text(NOW))
    assert (found["mode"], found["then"]) == ("monitor", "enforce")
    assert (found["ready"], found["against"]) == (True, [])
    assert (found["days"], found["min_minutes"]) == (7, 1)
    assert found["strangers"] == {"sources": 0, "first": []}
    assert found["routers"] == [
        {
            "name": "edge-1",
            "stage": None,
            "received": text(NOW),
            "revision": 1,
            "lag": 0,
            "attached": ["eth0"],
            "warnings": [],
            "would_drop": {"unregistered": 7, "expired": 2},
        }
    ]


def test_peers_are_told_apart_by_whether_they_were_seen(hub: Service) -> None:
    hub.add_gateway("spoke", addresses=["198.51.100.2"])
    hub.add_peer(name="elsewhere", gateway="spoke")
    silent = hub.add_peer(name="silent", sources=["203.0.113.1"])
    lately = hub.add_peer(name="lately", sources=["203.0.113.2"])
    long_ago = hub.add_peer(name="long-ago", sources=["203.0.113.3"])
    ends = hub.add_peer(name="ends", sources=["203.0.113.4"], valid_until=text(LATER))
    begins = hub.add_peer(name="begins", sources=["203.0.113.5"], valid_from=text(LATER))
    waits = hub.request_peer(name="waits", sources=["203.0.113.6"])
    registry = hub.admin.get("/v1/status").json()["registry"]
    at = [
        {"at": text(NOW - MINUTE), "peers": [lately, ends]},
        {"at": text(NOW - 8 * DAY), "peers": [long_ago]},
    ]
    hub.agent.put("/v1/routers/edge-1/seen", json={"registry": registry, "seen": at})
    numbers = ("active", "seen", "seen_lately", "later", "pending", "ended")
    named = ("never_seen", "waiting", "ended_lately")

    def peers(**query: object) -> tuple[list[int], list[list[int]]]:
        found = readiness(hub, **query)["peers"]
        ids = [[each["id"] for each in found[name]] for name in named]
        return [found[name] for name in numbers], ids

    assert peers() == ([4, 3, 2, 1, 1, 0], [[silent], [waits], []])
    assert peers(days=9) == ([4, 3, 3, 1, 1, 0], [[silent], [waits], []])
    then = readiness(hub, at=text(LATER))
    assert peers(at=text(LATER)) == ([4, 2, 1, 0, 1, 1], [[silent, begins], [waits], [ends]])
    (ended,) = then["peers"]["ended_lately"]
    assert (ended["name"], ended["last_seen"]) == ("ends", text(NOW - MINUTE))
    assert (ended["owner"], ended["contact"]) == ("Branch networks", "netops@example.net")
    assert ended["valid_until"] == text(LATER)


def test_strangers_that_are_registered_or_signed_off_are_settled(hub: Service) -> None:
    told(hub, *(seen(f"203.0.113.{n}", minutes=n) for n in range(1, 7)), seen("2001:db8::9"))
    assert left(hub) == [f"203.0.113.{n}" for n in (6, 5, 4)] + [
        "2001:db8::9",
        *(f"203.0.113.{n}" for n in (3, 2, 1)),
    ]
    assert against(hub) == ["strangers"]
    hub.add_peer(name="a", sources=["203.0.113.6"])
    hub.request_peer(name="b", sources=["203.0.113.5"])
    hub.add_peer(name="c", sources=["203.0.113.4"], valid_from=text(LATER))
    hub.add_peer(name="d", sources=["203.0.113.3"], valid_until=text(LATER))
    for prefix, until in (("203.0.113.2", None), ("203.0.113.1", LATER), ("2001:db8::/64", None)):
        body = {"gateway": "hub", "prefix": prefix, "reason": "a scanner"}
        body |= {} if until is None else {"until": text(until)}
        assert hub.admin.post("/v1/sign-offs", json=body).status_code == 201
    # Whom nobody has approved is cut off, and so is whoever is not let in yet.
    assert left(hub) == ["203.0.113.5", "203.0.113.4"]
    assert left(hub, at=text(LATER)) == ["203.0.113.5", "203.0.113.3", "203.0.113.1"]
    first = readiness(hub)["strangers"]["first"][0]
    assert first["covered"] == {"peer": 2, "name": "b", "state": "pending"}
    # As it is then: it is let in now.
    ends = readiness(hub, at=text(LATER))["strangers"]["first"][1]
    assert ends["covered"] == {"peer": 4, "name": "d", "state": "expired"}


def test_only_those_that_are_active_count(hub: Service) -> None:
    ago = NOW - 2 * DAY
    earlier = [seen(f"192.0.2.{n}", minutes=n, until=ago) for n in (1, 2)]
    told(hub, *earlier, until=ago)
    told(hub, seen("192.0.2.3", minutes=2), seen("192.0.2.3", service="udp/500", minutes=1))
    assert left(hub, days=2) == ["192.0.2.3", "192.0.2.3"]
    assert left(hub, days=3, min_minutes=2) == ["192.0.2.3", "192.0.2.2"]
    assert against(hub, min_minutes=3) == []
    hub.clock.pass_time(WEEK + DAY)
    report_as(hub)
    assert against(hub) == []


def test_what_nobody_may_have_seen(hub: Service) -> None:
    """A gateway younger than what is looked back at, and a router that knows nothing of it."""
    (young,) = readiness(hub)["warnings"]
    assert young == (
        f"hub is there since {text(NOW)}, less than 7 days: who knocks more rarely was perhaps not "
        "seen"
    )
    hub.clock.pass_time(2 * DAY)
    report_as(hub, counters={"": {}})
    hub.add_router("edge-2")
    assert "less than 7 days" in readiness(hub)["warnings"][0]
    (late,) = readiness(hub, days=1)["warnings"]
    assert late == "edge-1: does not have hub in force yet, and has seen nobody knock"


@on_sqlite
def test_what_came_to_be_so_lately(service: Service) -> None:
    """Other services, and a router that begins to carry it."""
    hub = Hub.made(service).service
    changed = hub.clock.now
    services = {"services": ["wireguard", "ipsec"]}
    hub.admin.patch("/v1/gateways/hub", json=services, headers=ANY)
    # What is no matter of who knocks.
    window = {"enforce_until": text(changed + 9 * DAY)}
    hub.admin.patch("/v1/gateways/hub", json=window, headers=ANY)
    report_as(hub, counters={"hub": {}})
    (other,) = readiness(hub)["warnings"]
    assert other.startswith(
        f"hub has these addresses, services and routers since {text(changed)}, "
    )
    hub.clock.pass_time(8 * DAY)
    made = hub.clock.now
    report_as(hub, counters={"hub": {}}, by=hub.add_router("edge-2"), router="edge-2")
    (late,) = readiness(hub)["warnings"]
    assert late.startswith(f"edge-2 is there since {text(made)}, less than 7 days: ")


def test_whoever_had_it_once_does_not_have_it(hub: Service) -> None:
    """A router goes on counting for gateways that it carries no longer, under their names."""

    def is_missing() -> bool:
        assert against(hub) in ([], ["no-router"])
        missing = against(hub) == ["no-router"]
        report_as(hub)
        assert against(hub) == []
        return missing

    assert not is_missing()
    assert hub.admin.delete("/v1/gateways/hub", headers=ANY).status_code == 204
    hub.add_gateway(mode="monitor")
    assert is_missing()
    for site in ({"site": "fra"}, {}):
        report_as(hub)
        hub.admin.patch("/v1/gateways/hub", json={"routers": site}, headers=ANY)
    assert is_missing()
    hub.admin.patch("/v1/gateways/hub", json={"addresses": ["198.51.100.7"]}, headers=ANY)
    assert is_missing()
    # What has nothing to do with it.
    hub.add_gateway("spoke", addresses=["198.51.100.2"])
    assert not is_missing()


def test_very_many_are_counted_up_to_a_thousand(hub: Service) -> None:
    told(hub, *(seen(f"10.0.{n // 256}.{n % 256}", minutes=5) for n in range(1_200)))
    body = {"gateway": "hub", "prefix": "10.0.0.0/25", "reason": "a scanner"}
    hub.admin.post("/v1/sign-offs", json=body)
    found = readiness(hub)
    assert (found["strangers"]["sources"], len(found["strangers"]["first"])) == (1_000, 100)
    assert "1,000 or more active strangers are" in found["against"][0]["detail"]
    body = {"gateway": "hub", "prefix": "10.0.0.0/16", "reason": "a scanner"}
    hub.admin.post("/v1/sign-offs", json=body)
    assert left(hub) == []


def test_a_router_has_to_carry_it_and_to_have_reported(service: Service) -> None:
    service.add_gateway(mode="monitor")
    assert against(service) == ["no-router"]
    assert "has ever reported (edge-1): start" in readiness(service)["against"][0]["detail"]
    report_as(service, counters={})
    assert against(service) == ["no-router"]
    assert "has it in force yet (edge-1), so" in readiness(service)["against"][0]["detail"]
    report_as(service)
    assert against(service) == []
    patch = {"routers": {"site": "fra"}}
    service.admin.patch("/v1/gateways/hub", json=patch, headers={"If-Match": "*"})
    found = readiness(service)
    assert (against(service), found["routers"]) == (["no-router"], [])
    assert "no router carries hub" in found["against"][0]["detail"]
    service.add_router("fra-1", site="fra")
    found = readiness(service)
    assert [each["name"] for each in found["routers"]] == ["fra-1"]
    assert "has not reported" in found["routers"][0]["warnings"][0]


def test_routers_that_lag_or_are_silent_are_shown(hub: Service) -> None:
    hub.add_peer()
    hub.clock.pass_time(10 * MINUTE)
    (shown,) = readiness(hub)["routers"]
    assert (shown["lag"], shown["revision"]) == (1, 1)
    assert "silent since" in shown["warnings"][0]


@pytest.mark.parametrize(
    ("fields", "mode", "said"),
    [
        ({}, "enforce", "hub enforces already, for good"),
        ({"enforce_from": text(NOW - DAY)}, "enforce", "hub enforces already, for good"),
        ({"enforce_from": text(LATER)}, "monitor", f"it enforces from {text(LATER)}: take"),
        ({"enforce_until": text(LATER)}, "enforce", f"it enforces until {text(LATER)}: take"),
        ({"enforce_until": text(NOW)}, "monitor", None),
    ],
)
def test_one_that_enforces_has_nothing_to_go_over_to(
    service: Service, fields: dict[str, Any], mode: str, said: str | None
) -> None:
    service.add_gateway(**fields)
    report_as(service)
    found = readiness(service)
    assert found["mode"] == mode
    details = [each["detail"] for each in found["against"] if each["type"] == "enforces"]
    assert len(details) == (said is not None)
    assert said is None or said in details[0]


def test_what_cannot_be_asked(hub: Service) -> None:
    past = hub.admin.get("/v1/gateways/hub/readiness", params={"at": text(NOW)})
    assert (past.status_code, past.json()["errors"][0]["field"]) == (422, "at")
    for query in ({"days": 0}, {"days": 31}, {"min_minutes": 0}, {"at": "soon"}):
        wrong = hub.admin.get("/v1/gateways/hub/readiness", params=query)
        assert wrong.status_code == 422, query
    assert hub.admin.get("/v1/gateways/nowhere/readiness").status_code == 404
