"""Who waits is woken by a write, not by the look at the database that comes now and then."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from api.settings import Settings
from tests.api.bodies import report
from tests.api.conftest import Service

_DEADLINE = 20.0


@pytest.fixture
def service(start: Callable[[Settings], Service], settings: Settings) -> Service:
    """One that never looks: a write must tell of itself."""
    return start(replace(settings, poll_seconds=3600, upkeep_seconds=3600))


def until_waiting(service: Service, count: int) -> None:
    end = time.monotonic() + _DEADLINE
    while service.app.state.watch.waiting != count:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_write_wakes_everybody(service: Service) -> None:
    query = {"after": 0, "wait": 60}
    with ThreadPoolExecutor(8) as pool:
        waiting = [
            pool.submit(service.agent.get, "/v1/allowlist/changes", params=query) for _ in range(8)
        ]
        until_waiting(service, 8)
        service.add_gateway()
        for each in waiting:
            assert list(each.result(_DEADLINE).json()["gateways"]) == ["hub"]
    until_waiting(service, 0)


def test_what_is_no_change_of_the_allowlist_wakes_nobody(service: Service) -> None:
    service.add_gateway()
    query = {"after": 1, "wait": 60}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(service.agent.get, "/v1/allowlist/changes", params=query)
        until_waiting(service, 1)
        service.request_peer()
        assert service.app.state.watch.waiting == 1
        service.act(1, "approve")
        assert waiting.result(_DEADLINE).json()["revision"] == 2


def test_a_lifted_head_sends_whoever_waits_to_a_snapshot(service: Service) -> None:
    service.add_gateway()
    registry = service.admin.get("/v1/status").json()["registry"]
    query = {"after": 1, "wait": 60}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(service.agent.get, "/v1/allowlist/changes", params=query)
        until_waiting(service, 1)
        ahead = report(registry, 9, word=service.word(9))
        service.agent.put("/v1/routers/edge-1/report", json=ahead)
        assert waiting.result(_DEADLINE).status_code == 410
