"""What routers say of strangers: added up once, bounded, and of their own gateways alone."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from api.registry import stranger_reports
from api.registry.upkeep import upkeep
from api.settings import Settings
from api.store import strangers
from api.store.stranger_tables import strangers as table
from tests.api.bodies import NOW, text
from tests.api.conftest import Service
from tests.api.strangers import INTERVAL, MINUTE, Item, interval, listed, seen, sources, tell, told

DAY = timedelta(days=1)


@pytest.fixture
def hub(service: Service) -> Service:
    service.add_gateway()
    return service


def test_intervals_are_added_up(hub: Service) -> None:
    told(hub, seen(samples=16, packets=400))
    later = NOW + INTERVAL
    hub.clock.pass_time(INTERVAL)
    told(hub, seen(until=later, samples=9, packets=500, dropped=True, minutes=2), until=later)
    (found,) = listed(hub)
    assert found["packets"] == 900
    assert found["samples"] == 25
    assert found["minutes"] == 5
    assert found["dropped"] is True
    assert found["first_seen"] == text(NOW - 4 * MINUTE)
    assert found["last_seen"] == text(later - MINUTE)
    assert found["routers"] == ["edge-1"]
    assert found["days"] == ["2026-11-23"]
    # 900 / sqrt(25) = 180, less what is known for sure: 25 of 900.
    assert found["packets_error"] == 177
    shown = hub.admin.get(f"/v1/strangers/{found['id']}").json()
    assert {name: shown[name] for name in found} == found


def test_where_every_packet_was_looked_at_nothing_is_estimated(hub: Service) -> None:
    told(hub, seen(samples=7, packets=7))
    assert listed(hub)[0]["packets_error"] == 0


def test_an_interval_counts_once(hub: Service) -> None:
    for _ in range(2):
        told(hub, seen())
    # What ends no later was taken already, whatever it says.
    told(hub, seen("203.0.113.10"), until=NOW - MINUTE)
    (found,) = listed(hub)
    assert found["packets"] == 400
    (day,) = hub.admin.get("/v1/gateways/hub/strangers").json()["days"]
    assert (day["day"], day["packets"], day["samples"]) == ("2026-11-23", 1000, 10)


def test_what_somebody_else_takes_is_left_to_them(
    hub: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same report, sent twice at once: the second one begins before the first has ended."""
    told(hub, seen())
    monkeypatch.setattr(strangers, "begin", lambda *_: (False, 0))
    told(hub, seen())
    assert listed(hub)[0]["packets"] == 400


def test_the_same_interval_of_two_routers_counts_twice(hub: Service) -> None:
    other = hub.add_router("edge-2")
    told(hub, seen())
    told(hub, seen(), router="edge-2", by=other)
    (found,) = listed(hub)
    assert (found["packets"], found["routers"]) == (800, ["edge-1", "edge-2"])
    told(hub, seen(until=NOW + MINUTE), router="edge-2", by=other, until=NOW + MINUTE)
    assert listed(hub)[0]["routers"] == ["edge-1", "edge-2"]


def test_what_was_broken_off_goes_on_where_it_stopped(
    hub: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    everyone = [seen(f"203.0.113.{number}") for number in range(1, 11)]
    monkeypatch.setattr(stranger_reports, "_BATCH", 4)
    add, calls = strangers.add, 0

    def broken(*arguments: Any) -> None:  # noqa: ANN401  # handed on
        nonlocal calls
        calls += 1
        add(*arguments)
        if calls == 2:
            raise RuntimeError("the power is gone")

    with monkeypatch.context() as patched:
        patched.setattr(strangers, "add", broken)
        assert tell(hub, *everyone).status_code == 500
    assert len(listed(hub)) == 4
    for _ in range(2):
        told(hub, *reversed(everyone))
    found = listed(hub)
    assert len(found) == 10
    assert {each["packets"] for each in found} == {400}
    (day,) = hub.admin.get("/v1/gateways/hub/strangers").json()["days"]
    assert day["packets"] == 1000


def test_sums_stop_where_json_does(hub: Service) -> None:
    most = 2**53
    for number in range(3):
        told(hub, seen(packets=most, samples=most), until=NOW + number * MINUTE)
    assert (listed(hub)[0]["packets"], listed(hub)[0]["samples"]) == (most, most)


def test_days_are_remembered_for_a_month(hub: Service) -> None:
    for days in (0, 1, 3, 30):
        hub.clock.now = NOW + days * DAY
        told(hub, seen(until=hub.clock.now), until=hub.clock.now)
    assert listed(hub)[0]["days"] == ["2026-12-23", "2026-11-26", "2026-11-24"]
    # Of a router that was away and tells of it later.
    other = hub.add_router("edge-2")
    past = hub.clock.now - 2 * DAY
    told(hub, seen(until=past), until=past, router="edge-2", by=other)
    assert listed(hub)[0]["days"] == ["2026-12-23", "2026-12-21", "2026-11-26", "2026-11-24"]
    assert listed(hub)[0]["last_seen"] == text(hub.clock.now - MINUTE)


def test_an_interval_over_midnight_is_of_both_days(hub: Service) -> None:
    hub.clock.now = midnight = NOW + timedelta(hours=12, minutes=2)
    told(hub, seen(until=midnight), until=midnight)
    assert listed(hub)[0]["days"] == ["2026-11-24", "2026-11-23"]


def test_nobody_is_seen_in_the_future(hub: Service) -> None:
    ahead = NOW + 4 * MINUTE
    told(hub, seen(until=ahead), until=ahead)
    assert listed(hub)[0]["last_seen"] == text(NOW)


def test_a_clock_that_is_far_ahead_is_refused(hub: Service) -> None:
    """Taken, it would shut the router out until that time comes."""
    refused = tell(hub, seen(), until=NOW + 6 * MINUTE)
    assert refused.status_code == 422
    (problem,) = refused.json()["errors"]
    assert problem["field"] == "until"
    assert "2026-11-23T12:00:00Z" in problem["rule"]
    assert listed(hub) == []
    told(hub, seen())


def test_services_and_gateways_are_kept_apart(hub: Service) -> None:
    hub.add_gateway("spoke", addresses=["198.51.100.2"])
    services = ["udp/51820", "proto/47", "tcp/1194", "udp/0", "proto/17"]
    told(hub, *(seen(service=each) for each in services), seen(gateway="spoke"))
    assert sorted((e["gateway"], e["service"]) for e in listed(hub)) == sorted(
        [("spoke", "udp/51820"), *(("hub", each) for each in services)]
    )


def test_gateways_that_a_router_does_not_carry_are_passed_over(hub: Service) -> None:
    hub.add_gateway("ams", addresses=["198.51.100.2"], routers={"site": "ams"})
    fra = hub.add_router("fra-1", site="fra")
    ams = hub.add_router("ams-1", site="ams")
    strangers = [seen(gateway="ams"), seen(gateway="hub"), seen(gateway="nowhere")]
    gateways = {name: {"packets": 5, "samples": 5} for name in ("ams", "hub", "nowhere")}
    told(hub, *strangers, router="fra-1", by=fra, gateways=gateways)
    assert [each["gateway"] for each in listed(hub)] == ["hub"]
    assert hub.admin.get("/v1/gateways/ams/strangers").json()["days"] == []
    told(hub, *strangers, router="ams-1", by=ams, gateways=gateways)
    assert {each["gateway"] for each in listed(hub)} == {"ams", "hub"}


def test_a_router_speaks_for_itself_alone(hub: Service) -> None:
    hub.add_router("edge-2")
    refused = tell(hub, seen(), router="edge-2")
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/other-router")
    assert tell(hub, seen(), router="nobody", by=hub.admin).status_code == 404
    assert listed(hub) == []


def test_strangers_of_another_registry_are_not_ours(hub: Service) -> None:
    refused = tell(hub, seen(), registry="other")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/other-registry")
    assert listed(hub) == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"source": "203.0.113.0/24"}, "source"),
        ({"source": "203.0.113.256"}, "source"),
        ({"source": "fe80::1%eth0"}, "source"),
        ({"source": "::ffff:203.0.113.9"}, "source"),
        ({"source": "\x1b[31m"}, "source"),
        ({"source": "۲03.0.113.9"}, "source"),
        ({"service": "wireguard"}, "service"),
        ({"service": "udp/65536"}, "service"),
        ({"service": "udp/080"}, "service"),
        ({"service": "proto/256"}, "service"),
        ({"service": "udp/1\n"}, "service"),
        ({"gateway": "\x1b]0;hub"}, "gateway"),
        ({"first_seen": 1700000000}, "first_seen"),
        ({"first_seen": "2026-13-01T00:00:00Z"}, "first_seen"),
        ({"first_seen": "2026-11-23T12:00:00"}, "first_seen"),
        ({"first_seen": text(NOW)}, "last_seen"),
        ({"last_seen": "0001-01-01T00:00:00+14:00"}, "last_seen"),
        ({"packets": -1}, "packets"),
        ({"packets": 2**53 + 1}, "packets"),
        ({"samples": 0}, "samples"),
        ({"minutes": -1}, "minutes"),
        ({"comment": "x"}, "comment"),
    ],
)
def test_what_is_no_stranger_is_refused(hub: Service, fields: Item, field: str) -> None:
    refused = tell(hub, seen("203.0.113.1"), seen(**fields))
    assert refused.status_code == 422, refused.text
    assert [each["field"] for each in refused.json()["errors"]] == [f"strangers[1].{field}"]
    assert "\x1b" not in refused.text
    assert listed(hub) == []


def test_an_interval_has_a_beginning_and_an_end(hub: Service) -> None:
    refused = tell(hub, seen(), since=text(NOW))
    assert [each["field"] for each in refused.json()["errors"]] == ["until"]
    assert tell(hub, seen(), until=NOW, since="yesterday").status_code == 422


def test_as_many_as_one_request_may_hold(hub: Service) -> None:
    everyone = [seen(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(10_001)]
    assert tell(hub, *everyone).status_code == 422
    told(hub, *everyone[:-1])
    assert hub.admin.get("/v1/gateways/hub/strangers").json()["strangers"] == 10_000


def test_many_routers_tell_at_once(hub: Service) -> None:
    agents = {f"r-{n}": hub.add_router(f"r-{n}") for n in range(6)}
    everyone = [seen(f"203.0.113.{n}") for n in range(1, 101)]

    def work(name: str) -> int:
        body = interval(hub, everyone if name < "r-3" else reversed(everyone))
        return agents[name].put(f"/v1/routers/{name}/strangers", json=body).status_code

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, agents)) == [204] * 6
    found = listed(hub)
    assert len(found) == 100
    assert {each["packets"] for each in found} == {2400}


def test_the_least_persistent_make_room(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    service = start(replace(settings, kept_strangers_of_gateway=5, kept_strangers=8))
    service.add_gateway()
    service.add_gateway("spoke", addresses=["198.51.100.2"])
    persistent = [seen(f"203.0.113.{n}", minutes=n, packets=1, samples=1) for n in (3, 4, 5)]
    once = [
        seen(f"192.0.2.{n}", minutes=1, packets=9000, last_seen=text(NOW - n * MINUTE / 60))
        for n in range(1, 5)
    ]
    told(service, *persistent, *once)
    # Heavy ones go before persistent ones, and of those alike who was last seen first.
    assert sources(service) == ["203.0.113.5", "203.0.113.4", "203.0.113.3", *_last(once)]
    later = NOW + INTERVAL
    service.clock.pass_time(INTERVAL)
    spoke = [seen(f"192.0.2.{n}", gateway="spoke", minutes=2, until=later) for n in range(4)]
    told(service, *spoke, until=later)
    assert len(listed(service)) == 8
    # Of all of them, too, the least persistent one went.
    assert sources(service, gateway="hub") == [
        *("203.0.113.5", "203.0.113.4", "203.0.113.3"),
        _last(once)[0],
    ]


def _last(found: list[Item]) -> list[str]:
    return [each["source"] for each in found[:2]]


def test_strangers_are_forgotten_with_time(hub: Service) -> None:
    told(hub, seen("203.0.113.1"), seen("203.0.113.2"))
    hub.clock.now = NOW + 29 * DAY
    told(hub, seen("203.0.113.2", until=hub.clock.now), until=hub.clock.now)
    upkeep(hub.app.state.registry, timedelta(days=1))
    assert len(listed(hub)) == 2
    hub.clock.now = NOW + 31 * DAY
    upkeep(hub.app.state.registry, timedelta(days=1))
    assert sources(hub) == ["203.0.113.2"]
    days = hub.admin.get("/v1/gateways/hub/strangers").json()["days"]
    assert [each["day"] for each in days] == ["2026-12-22"]


def test_a_removed_gateway_takes_its_strangers_along(hub: Service) -> None:
    told(hub, seen())
    (found,) = listed(hub)
    hub.admin.delete("/v1/gateways/hub", headers={"If-Match": "*"})
    assert listed(hub) == []
    assert hub.admin.get(f"/v1/strangers/{found['id']}").status_code == 404
    registry = hub.app.state.registry
    upkeep(registry, timedelta(days=1))
    with registry.read() as read:
        left = read.connection.execute(select(func.count()).select_from(table)).scalar_one()
    assert left == 0
    # Another one of the name is another gateway.
    hub.add_gateway()
    assert listed(hub) == []
    told(hub, seen(until=NOW + MINUTE), until=NOW + MINUTE)
    assert listed(hub)[0]["packets"] == 400


def test_a_removed_router_begins_anew(hub: Service) -> None:
    told(hub, seen())
    hub.admin.delete("/v1/routers/edge-1", headers={"If-Match": "*"})
    again = hub.add_router("edge-1")
    told(hub, seen(), by=again)
    assert listed(hub)[0]["packets"] == 800


def test_it_is_no_change_of_the_registry(hub: Service) -> None:
    def state() -> tuple[int, object, object]:
        head = hub.admin.get("/v1/audit/head").json()
        return hub.revision, head, hub.admin.get("/v1/events?follow=false").text

    before = state()
    told(hub, seen(), seen("2001:db8::9"))
    assert state() == before
