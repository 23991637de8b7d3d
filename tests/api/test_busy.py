"""Another process has the SQLite file for long: whoever writes is told so, and nothing is half
written."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from tests.api.bodies import gateway, peer, report
from tests.api.conftest import Service, on_sqlite

pytestmark = on_sqlite

# Writes, and neither commits nor ends until it is told to.
_HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE peers SET name = 'half-written', purpose = 'half-written'")
print("held", flush=True)
sys.stdin.readline()
connection.execute(sys.argv[2])
"""


@contextmanager
def held(file: Path, end: str) -> Iterator[None]:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, file, end], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.stdin.write(b"\n")
        holder.stdin.close()
        assert holder.wait(20) == 0
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@pytest.fixture
def service(
    start: Callable[[Settings], Service], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Service:
    monkeypatch.setattr("api.store.sqlite._BUSY_SECONDS", 0.3)
    service = start(settings)
    service.add_gateway()
    service.add_peer()
    return service


def state(service: Service) -> list[Any]:
    paths = ("/v1/gateways", "/v1/peers", "/v1/revisions", "/v1/audit", "/v1/status")
    found = [service.admin.get(path).json() for path in paths]
    # How long it takes is no part of it.
    return [each | {"time": None} for each in found]


def test_a_change_behind_a_long_write_is_refused_as_a_whole(
    service: Service, settings: Settings
) -> None:
    """And carried out once when it comes again."""
    assert settings.database_file is not None
    before = state(service)
    registry = service.admin.get("/v1/status").json()["registry"]
    asked: list[tuple[str, str, Any]] = [
        ("POST", "/v1/gateways", gateway(name="b", addresses=["198.51.100.2"])),
        ("POST", "/v1/peers", peer(name="b")),
        ("POST", "/v1/peers/1/revoke", {"reason": "closed"}),
        ("PUT", "/v1/policy", {"gateways": [], "peers": []}),
        ("PUT", "/v1/routers/edge-1/report", report(registry, 1)),
        ("POST", "/v1/peers/1/revoke?dry_run=true", {"reason": "closed"}),
    ]
    with held(settings.database_file, "ROLLBACK"):
        for method, path, body in asked:
            headers = {"If-Match": "*"} | ({"Idempotency-Key": path} if method == "POST" else {})
            refused = service.admin.request(method, path, json=body, headers=headers)
            assert (refused.status_code, refused.headers.get("Retry-After")) == (503, "5"), path
            assert refused.headers["Content-Type"] == "application/problem+json"
            assert refused.json()["type"] == "/problems/busy"
            assert "try again" in refused.json()["detail"]
        # Readers see what there was, and nothing of what is not committed.
        assert state(service) == before
        assert service.nobody.get("/readyz").status_code == 200
    assert state(service) == before
    method, path, body = asked[1]
    for _ in range(2):
        done = service.admin.post(path, json=body, headers={"Idempotency-Key": path})
        assert (done.status_code, done.json()["id"]) == (201, 2)


def test_many_that_wait_are_told_and_leave_no_connection_behind(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.database_file is not None
    monkeypatch.setattr("api.store.turns._BUSY_SECONDS", 0.2)
    monkeypatch.setattr("api.store.turns._SOON", 0.05)
    sent = [peer(name=f"p-{n}") for n in range(60)]
    with held(settings.database_file, "ROLLBACK"), ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(service.admin.post, "/v1/peers", json=each) for each in sent]
        for each in asked:
            refused = each.result()
            assert (refused.status_code, refused.json()["type"]) == (503, "/problems/busy")
            assert refused.headers["Retry-After"] == "5"
    assert len(service.admin.get("/v1/peers").json()["items"]) == 1
    for body in sent:
        assert service.admin.post("/v1/peers", json=body).status_code == 201


def test_who_waits_for_less_long_sees_what_the_other_has_written(
    start: Callable[[Settings], Service],
    settings: Settings,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settings.database_file is not None
    monkeypatch.setattr("api.store.sqlite._BUSY_SECONDS", 60.0)
    patient = start(settings)
    changed = {"owner": "Other"}
    with ThreadPoolExecutor(1) as pool:
        with held(settings.database_file, "COMMIT"):
            path, anything = "/v1/peers/1", {"If-Match": "*"}
            waiting = pool.submit(patient.admin.patch, path, json=changed, headers=anything)
        answered = waiting.result(60)
    assert answered.status_code == 200
    found = service.admin.get("/v1/peers/1").json()
    assert (found["owner"], found["name"]) == ("Other", "half-written")
