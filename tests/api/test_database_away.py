"""PostgreSQL is away: nothing is half written, all are told, and go on when it is back."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from api.errors import UnavailableError
from api.records import Actor
from api.registry import gateways
from api.settings import Settings
from policy.document import GatewaySpec
from tests.api.bodies import gateway, peer, report
from tests.api.conftest import Service, on_postgresql
from tests.api.test_watch import until_waiting
from tests.postgresql import Server

pytestmark = on_postgresql

ASKED: list[tuple[str, str, Any]] = [
    ("GET", "/readyz", None),
    ("GET", "/v1/status", None),
    ("GET", "/v1/allowlist", None),
    ("GET", "/v1/allowlist/changes?after=1&wait=10", None),
    ("POST", "/v1/gateways", gateway(name="other", addresses=["198.51.100.2"])),
    ("POST", "/v1/peers", peer()),
    ("PUT", "/v1/policy", {"gateways": [], "peers": []}),
    ("PUT", "/v1/routers/edge-1/report", report("any", 0)),
    ("DELETE", "/v1/gateways/hub", None),
]


def test_everything_is_answered_with_503(service: Service, postgresql_server: Server) -> None:
    service.add_gateway()
    with postgresql_server.away():
        for method, path, body in ASKED:
            refused = service.admin.request(method, path, json=body, headers={"If-Match": "*"})
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5"), path
            assert refused.headers["Content-Type"] == "application/problem+json"
            assert refused.json()["status"] == 503
            # Nobody is told where the database is.
            assert "127.0.0.1" not in refused.text
        assert service.nobody.get("/healthz").status_code == 200
    # At once, without a restart, and without a first one that fails.
    assert service.admin.get("/v1/gateways").json()["items"][0]["name"] == "hub"
    assert service.nobody.get("/readyz").status_code == 200
    assert service.revision == 1
    service.add_gateway("other", addresses=["198.51.100.2"])
    assert service.revision == 2


def test_a_write_that_was_cut_off_leaves_nothing(
    service: Service, postgresql_server: Server
) -> None:
    service.add_gateway()
    registry = service.app.state.registry
    spec = GatewaySpec.model_validate(gateway(name="b", addresses=["198.51.100.2"]))
    with postgresql_server.away():
        pass
    with pytest.raises(UnavailableError), registry.write(Actor("a test"), "cut off") as write:  # noqa: PT012
        gateways.create(write, spec)
        postgresql_server.kill()
    postgresql_server.start()
    assert service.admin.get("/v1/gateways/b").status_code == 404
    assert service.revision == 1
    assert service.agent.get("/v1/allowlist/changes?after=0").json()["revision"] == 1


def test_who_waits_goes_on_waiting(
    start: Callable[[Settings], Service], settings: Settings, postgresql_server: Server
) -> None:
    """And is woken by another process's write after that, although nobody looks."""
    never = replace(settings, poll_seconds=3600, upkeep_seconds=3600)
    here, there = start(never), start(never)
    query = {"after": 0, "wait": 60}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(here.agent.get, "/v1/allowlist/changes", params=query)
        until_waiting(here, 1)
        with postgresql_server.away():
            time.sleep(1.2)  # it tries to listen again, in vain
        there.add_gateway()
        found = waiting.result(20)
    assert list(found.json()["gateways"]) == ["hub"]


def test_a_server_that_stands_still_is_as_good_as_gone(
    service: Service, postgresql_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing ends its connections, and the kernel takes whatever is sent to it."""
    service.add_gateway()
    monkeypatch.setattr("api.store.notices._TURN", 0.2)

    def ask(asked: tuple[str, str, Any]) -> int:
        method, path, body = asked
        refused = service.admin.request(method, path, json=body, headers={"If-Match": "*"})
        assert refused.headers.get("Retry-After") == "5", path
        return refused.status_code

    with ThreadPoolExecutor(len(ASKED)) as pool, postgresql_server.still():
        assert list(pool.map(ask, ASKED)) == [503] * len(ASKED)
    assert service.revision == 1
    service.add_gateway("other", addresses=["198.51.100.2"])


def test_who_holds_the_registry_up_does_not_do_so_for_ever(
    service: Service, settings: Settings
) -> None:
    service.add_gateway()
    with psycopg.connect(settings.database_url) as stuck:
        stuck.execute("SELECT * FROM registry FOR UPDATE")
        begun = time.monotonic()
        refused = service.admin.patch(
            "/v1/gateways/hub", json={"mode": "monitor"}, headers={"If-Match": "*"}
        )
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert refused.json()["type"] == "/problems/busy"
        # One wait for its place in the queue, one for whoever is before it.
        assert 4 < time.monotonic() - begun < 15
        assert service.admin.get("/v1/gateways/hub").json()["mode"] == "enforce"
    service.add_peer()
