"""That a revision has come to all routers is told once, however many they are."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from alembic import command
from sqlalchemy import select, update

from api import migrations
from api.database import open_store
from api.records import Origin, Role
from api.registry import reports
from api.registry.permissions import Caller
from api.registry.reports import Said
from api.registry.router_events import SILENT_AFTER, find_silent
from api.settings import Settings
from api.store.schema import event_log, events, webhooks
from tests.api.bodies import report
from tests.api.conftest import Service
from tests.api.test_events import told

ANY = {"If-Match": "*"}
SECOND = timedelta(seconds=1)


def say(service: Service, name: str, revision: int) -> None:
    registry = service.admin.get("/v1/status").json()["registry"]
    body = report(registry, revision)
    done = service.admin.put(f"/v1/routers/{name}/report", json=body)
    assert done.status_code == 204, done.text


def arrivals(service: Service) -> list[tuple[str, dict[str, Any]]]:
    return [(e["subject"], e["content"]) for e in told(service) if e["type"] == "revision.applied"]


@pytest.fixture
def three(service: Service) -> Service:
    """Routers that have reported what there was before the first revision of the allowlist."""
    for name in ("edge-2", "edge-3"):
        service.add_router(name)
    start = service.revision
    for name in ("edge-1", "edge-2", "edge-3"):
        say(service, name, start)
    service.add_gateway()
    return service


def test_it_is_told_when_the_last_one_has_it(three: Service) -> None:
    begun = len(arrivals(three))
    revision = three.revision
    three.clock.pass_time(0.25 * SECOND)
    say(three, "edge-1", revision)
    say(three, "edge-2", revision)
    assert len(arrivals(three)) == begun
    three.clock.pass_time(SECOND)
    say(three, "edge-3", revision)
    assert arrivals(three)[begun:] == [(str(revision), {"routers": 3, "seconds": 1.25})]
    for name in ("edge-1", "edge-3"):
        say(three, name, revision)
    assert len(arrivals(three)) == begun + 1


def test_one_that_is_overtaken_is_covered_by_the_later_one(three: Service) -> None:
    begun = len(arrivals(three))
    first = three.revision
    three.add_gateway("b", addresses=["198.51.100.2"])
    three.add_gateway("c", addresses=["198.51.100.3"])
    last = three.revision
    for name, revision in (("edge-1", first), ("edge-2", last), ("edge-1", last)):
        say(three, name, revision)
    assert len(arrivals(three)) == begun
    say(three, "edge-3", last)
    assert [subject for subject, _ in arrivals(three)[begun:]] == [str(last)]


def test_a_silent_router_is_not_waited_for_nor_one_that_is_gone(three: Service) -> None:
    begun = len(arrivals(three))
    first = three.revision
    three.clock.pass_time(SILENT_AFTER + SECOND)
    say(three, "edge-1", first)
    say(three, "edge-2", first)
    find_silent(three.app.state.registry)
    assert arrivals(three)[begun:] == [(str(first), {"routers": 2, "seconds": 121.0})]
    # It is back with what it had, and has caught up; that is no news of the revision.
    say(three, "edge-3", first - 1)
    say(three, "edge-3", first)
    assert len(arrivals(three)) == begun + 1
    three.add_gateway("b", addresses=["198.51.100.2"])
    last = three.revision
    say(three, "edge-1", last)
    say(three, "edge-2", last)
    assert three.admin.delete("/v1/routers/edge-3", headers=ANY).status_code == 204
    assert [subject for subject, _ in arrivals(three)[begun + 1 :]] == [str(last)]


def test_what_no_revision_of_this_registry_is_has_come_to_nobody(service: Service) -> None:
    """A router is ahead of a registry that was restored, and shows no proof of it."""
    body = report(service.admin.get("/v1/status").json()["registry"], 700)
    refused = service.agent.put("/v1/routers/edge-1/report", json=body)
    assert refused.status_code == 409
    assert arrivals(service) == []


def test_of_two_processes_with_the_last_reports_the_second_sees_the_first(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    """Although neither sees what the other has not committed yet."""
    one, other = start(settings), start(settings)
    one.add_router("edge-2")
    for name in ("edge-1", "edge-2"):
        say(one, name, one.revision)
    begun = len(arrivals(one))
    one.add_gateway()
    revision = one.revision
    registry = one.app.state.registry
    content = report("", revision)
    caller = Caller(1, "edge-1", Role.AGENT, Origin(ip_address("192.0.2.1"), "r", proxy=False))
    said = Said(caller, "edge-1", "", revision, content)
    with ThreadPoolExecutor(1) as pool:
        with registry.aside("peergate") as aside:
            reports._put(aside, [said], {})
            last = pool.submit(say, other, "edge-2", revision)
            wait((last,), timeout=1)
        last.result(20)
    found = [subject for subject, _ in arrivals(one)[begun:]]
    assert found == [str(revision)]


def test_an_older_registry_forgets_what_it_told_of_each_router(
    service: Service, settings: Settings
) -> None:
    """Numbers have no gaps, and a webhook that was told of each is told of all."""
    service.add_gateway()
    hook = {"name": "pager", "url": "https://hooks.example.net/"}
    assert service.admin.post("/v1/webhooks", json=hook).status_code == 201
    service.add_peer()
    last = told(service)[-1]["id"]
    store = open_store(settings)
    with store.set_up() as connection:
        connection.execute(
            update(events).where(events.c.number == last - 1).values(type="router.applied")
        )
        connection.execute(update(webhooks).values(types=["router.applied", "router.new"], place=1))
        connection.exec_driver_sql("ALTER TABLE event_log DROP COLUMN applied")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0014'")
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0015")
        # What came later is there already.
        newest = migrations.newest()
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{newest}'")
        assert connection.execute(select(event_log.c.applied)).scalar_one() == service.revision
    store.close()
    assert [each["id"] for each in told(service)] == [last]
    assert service.admin.get(f"/v1/events?after={last - 2}").status_code == 410
    found = service.admin.get("/v1/webhooks/pager").json()
    assert found["types"] == ["revision.applied", "router.new"]
