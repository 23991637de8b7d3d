"""What a Prometheus reads of a registry: as the API has it, and also while the database is away."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from api.records import Role
from api.settings import Settings
from lab.watch import wait_until
from policy.window import Window
from tests.api.bodies import NOW, WEEK, report, text
from tests.api.conftest import Service, on_postgresql
from tests.api.cutovers import AT, UNTIL, Hub
from tests.api.strangers import seen, told
from tests.postgresql import Server
from tests.scrape import Scrape, assert_good, documented

PREFIX = "peergate_registry_"
SECOND = timedelta(seconds=1)


def scrape(service: Service, role: Role = Role.METRICS) -> Scrape:
    found = service.clients[role].get("/metrics")
    assert found.status_code == 200, found.text
    assert found.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return Scrape.of(found.text)


def by(found: Scrape, name: str, label: str) -> dict[str, int]:
    """Of one with one label: those that are not 0."""
    return {
        dict(labels)[label]: int(value)
        for (each, labels), value in found.values.items()
        if each == PREFIX + name and value
    }


def test_every_metric_is_documented(service: Service) -> None:
    Hub.made(service).plan()
    service.add_peer()
    assert wait_until(
        lambda: len(by(scrape(service), "task_done_timestamp_seconds", "task")) > 5, 20
    )
    found = scrape(service)
    assert found.described() == documented("On a registry")
    assert_good([found])


def test_nobody_reads_it_without_a_token(service: Service) -> None:
    assert service.nobody.get("/metrics").status_code == 401
    assert service.agent.get("/metrics").status_code == 403
    # And with the one that a Prometheus has, nothing else.
    assert service.clients[Role.METRICS].get("/v1/peers").status_code == 403
    assert service.clients[Role.METRICS].get("/v1/status").status_code == 403


def test_the_numbers_are_those_of_the_api(service: Service) -> None:
    service.add_gateway()
    service.add_gateway("later", addresses=["198.51.100.2"], enforce_from=text(NOW + WEEK))
    service.add_gateway("open", addresses=["198.51.100.3"], mode="monitor")
    for at, (fields, acts) in enumerate(
        (
            ({}, []),
            ({}, ["approve"]),
            ({"valid_from": text(NOW + WEEK)}, ["approve"]),
            ({"valid_until": text(NOW + timedelta(hours=3))}, ["approve"]),
            ({"valid_until": text(NOW + timedelta(days=3))}, ["approve"]),
            ({"valid_until": text(NOW - timedelta(days=3))}, ["approve"]),
            ({}, ["reject"]),
            ({}, ["approve", "revoke"]),
        )
    ):
        number = service.request_peer(name=f"p-{at}", sources=[f"203.0.113.{at}"], **fields)
        for act in acts:
            service.act(number, act)
    service.act(2, "propose", {"purpose": "new", "reason": "so"})
    told(service, seen(), seen("203.0.113.99"))
    found = scrape(service)
    status = service.admin.get("/v1/status").json()
    assert found.value(PREFIX + "revision") == status["revision"]
    states = by(found, "peers", "state")
    assert states == {
        "pending": 1,
        "active": 3,
        "future": 1,
        "expired": 1,
        "rejected": 1,
        "revoked": 1,
    }
    approved = states["active"] + states["future"] + states["expired"]
    assert {**states, "approved": approved} == status["peers"] | {"future": 1}
    assert by(found, "peers_expiring", "within") == {"24h": 1, "7d": 2}
    assert found.value(PREFIX + "proposals") == 1
    assert by(found, "gateways", "mode") == {"enforce": 1, "monitor": 2}
    assert by(found, "strangers_active", "gateway") == {"hub": 2}
    assert found.value(PREFIX + "strangers_active", gateway="open") == 0
    trail = service.clients[Role.AUDITOR].get("/v1/audit?limit=500").json()["items"]
    assert found.value(PREFIX + "audit_records_total") == max(each["number"] for each in trail)
    assert by(found, "changes_total", "action")["peer.approve"] == 6
    service.clock.pass_time(timedelta(days=2))
    assert by(scrape(service), "strangers_active", "gateway") == {}


def test_a_cut_over_and_its_next_step(service: Service) -> None:
    hub = Hub.made(service)
    told(service, seen())
    hub.plan(override="They move next year")
    found = scrape(service)
    step = PREFIX + "cutover_step_timestamp_seconds"
    assert found.value(step, gateway="hub", state="planned") == AT.timestamp()
    assert found.value(PREFIX + "cutover_strangers", gateway="hub") == 1
    # By the clock, noted already or not.
    service.clock.now = AT
    assert scrape(service).value(step, gateway="hub", state="switched") == UNTIL.timestamp()
    service.clock.now = UNTIL
    assert by(scrape(service), "cutover_step_timestamp_seconds", "gateway") == {}


def test_the_routers_by_what_is_wrong_with_them(service: Service) -> None:
    service.add_gateway()
    registry = service.admin.get("/v1/status").json()["registry"]
    down = {"name": "eth1", "attach": "native", "attached": False, "error": None}
    cases: dict[str, dict[str, object]] = {
        "good": {},
        "detached": {"interfaces": [down], "held": "too much"},
        "held": {"held": "too much", "repairs": 1},
        "clock": {"clock": {"offset": 7.0, "synchronised": False}},
        "repaired": {"repairs": 2},
        "ahead": {"revision": 9},
    }
    for name, fields in cases.items():
        body = report(registry, 1) | fields
        agent = service.add_router(f"edge-{name}")
        assert agent.put(f"/v1/routers/edge-{name}/report", json=body).status_code in (204, 409)
    found = scrape(service)
    assert by(found, "routers", "health") == dict.fromkeys(cases, 1) | {"new": 1}
    assert found.value(PREFIX + "slowest_router_revisions") == 0
    service.add_gateway("b", addresses=["198.51.100.2"])
    service.clock.pass_time(timedelta(seconds=90))
    found = scrape(service)
    assert by(found, "routers", "health")["behind"] == 3  # good, clock and repaired before
    assert found.value(PREFIX + "slowest_router_revisions") == 1
    assert found.value(PREFIX + "slowest_router_seconds") == 90
    service.clock.pass_time(timedelta(seconds=31))
    found = scrape(service)
    # Of those that say nothing nobody knows how far behind they are.
    assert by(found, "routers", "health") == {"silent": 6, "new": 1}
    assert found.value(PREFIX + "slowest_router_seconds") == 0


def test_what_anybody_makes_up_is_no_label(service: Service) -> None:
    for method, path in (("GET", "/nothing/here"), ("BREW", "/v1/peers"), ("BREW", "/pot")):
        assert service.nobody.request(method, path).status_code in (404, 405)
    service.admin.get("/v1/peers/17")
    found = scrape(service)
    requests = {
        tuple(dict(labels)[name] for name in ("method", "route", "status"))
        for name, labels in found.values
        if name == PREFIX + "requests_total"
    }
    assert ("GET", "/v1/peers/{id}", "404") in requests
    assert {each[0] for each in requests} == {"GET", "other"}
    assert {route for _, route, _ in requests} <= {"none", "/v1/peers/{id}", "/v1/peers"}


def test_only_what_was_committed_is_a_change(service: Service) -> None:
    service.add_gateway()
    refused = service.admin.post("/v1/gateways", json={"name": "hub"})
    assert refused.status_code == 422
    twice = service.admin.post("/v1/gateways", json=service.admin.get("/v1/gateways/hub").json())
    assert not twice.is_success
    assert by(scrape(service), "changes_total", "action") == {"gateway.add": 1}


@on_postgresql
def test_while_the_database_is_away(service: Service, postgresql_server: Server) -> None:
    """That is when somebody looks."""
    assert scrape(service).value(PREFIX + "database_up") == 1
    unseen = service.clients[Role.VIEWER]
    with postgresql_server.away():
        assert wait_until(lambda: scrape(service).value(PREFIX + "database_up") == 0, 20)
        found = scrape(service)
        assert by(found, "task_failures_total", "task")
        assert PREFIX + "peers" not in found.families
        # Who was not let in before is not now.
        assert unseen.get("/metrics").status_code == 503
        assert service.agent.get("/metrics").status_code in (403, 503)
    assert wait_until(lambda: scrape(service).value(PREFIX + "database_up") == 1, 20)


def test_what_takes_long_to_count_is_counted_less_often(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scrape(service).value(PREFIX + "revision") == 0
    monkeypatch.setattr("api.metrics._LONG", 0.0)
    monkeypatch.setattr("api.metrics._SHARE", 1e-9)
    service.add_gateway()
    assert scrape(service).value(PREFIX + "revision") == 1
    service.add_gateway("b", addresses=["198.51.100.2"])
    assert scrape(service).value(PREFIX + "revision") == 1
    # What the process does is no matter of that.
    assert by(scrape(service), "changes_total", "action") == {"gateway.add": 2}


def test_a_token_that_was_revoked_reads_no_more(service: Service) -> None:
    made = service.admin.post("/v1/tokens", json={"name": "prometheus", "role": "metrics"}).json()
    client = service.nobody.with_token(made["token"])
    assert client.get("/metrics").status_code == 200
    assert service.admin.delete(f"/v1/tokens/{made['id']}").is_success
    assert wait_until(lambda: client.get("/metrics").status_code == 401, 20)


def test_background_work_that_fails_is_counted(
    start: Callable[[Settings], Service], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("always")

    monkeypatch.setattr("api.background.upkeep", broken)
    service = start(replace(settings, upkeep_seconds=0.1))
    assert wait_until(
        lambda: by(scrape(service), "task_failures_total", "task").get("upkeep", 0) > 1, 20
    )
    found = scrape(service)
    assert found.value(PREFIX + "messages_total", level="error") == 1
    assert "upkeep" not in by(found, "task_done_timestamp_seconds", "task")


def test_a_window_has_its_beginning_and_not_its_end() -> None:
    window = Window(NOW, NOW + WEEK)
    assert [window.has(NOW + each) for each in (-SECOND, 0 * SECOND, WEEK - SECOND, WEEK)] == [
        False,
        True,
        True,
        False,
    ]
    assert Window().has(NOW)
