"""One chain, whoever writes and whatever is killed; and tokens that end everywhere at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from threading import Event

import httpx
import pytest

from api.records import Role
from api.settings import Settings
from tests.api.bodies import gateway
from tests.api.conftest import Seed, on_postgresql, on_sqlite
from tests.api.process import DEADLINE, Process
from tests.api.test_audit import records, whole
from tests.api.test_processes import WRITERS, Writers
from tests.postgresql import Server


@pytest.fixture
def processes(settings: Settings, seed: Seed) -> Iterator[tuple[Process, Process]]:
    with ExitStack() as stack:
        started = []
        for _ in range(2):
            process = Process(replace(settings, poll_seconds=0.2), seed.tokens)
            stack.callback(process.end)
            started.append(process)
        for process in started:
            process.wait_until_ready()
        yield started[0], started[1]


@pytest.fixture
def admins(processes: tuple[Process, Process]) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    with processes[0].client(Role.ADMIN) as one, processes[1].client(Role.ADMIN) as other:
        yield one, other


def added(settings: Settings) -> list[str]:
    """Gateways, as the trail has them."""
    return [each.subject for each in records(settings) if each.action == "gateway.add"]


def held(admin: httpx.Client) -> set[str]:
    found = admin.get("/v1/gateways", params={"limit": 500}).json()
    assert found["next"] is None
    return {f"gateway/{each['name']}" for each in found["items"]}


def test_of_many_writers_there_is_one_chain(
    admins: tuple[httpx.Client, httpx.Client], settings: Settings
) -> None:
    with ThreadPoolExecutor(WRITERS) as pool, Writers(pool, admins) as writers:
        for _ in range(3):
            writers.until_more()
            whole(settings)
        writers.end()
    whole(settings)
    names = added(settings)
    assert set(names) == held(admins[0])
    assert len(names) == len(set(names))


def test_a_killed_process_leaves_no_change_without_its_record(
    processes: tuple[Process, Process],
    admins: tuple[httpx.Client, httpx.Client],
    settings: Settings,
) -> None:
    with ThreadPoolExecutor(WRITERS) as pool, Writers(pool, admins) as writers:
        writers.until_more()
        processes[0].process.kill()
        writers.until_more()
        writers.end()
    whole(settings)
    names = added(settings)
    assert {f"gateway/{name}" for name in writers.acknowledged} <= set(names) == held(admins[1])
    assert len(names) == len(set(names))


@on_postgresql
def test_a_killed_database_leaves_no_change_without_its_record(
    admins: tuple[httpx.Client, httpx.Client], settings: Settings, postgresql_server: Server
) -> None:
    with ThreadPoolExecutor(WRITERS) as pool, Writers(pool, admins) as writers:
        for _ in range(2):
            writers.until_more()
            with postgresql_server.away():
                writers.until_turned_away()
        writers.until_more()
        writers.end()
    whole(settings)
    names = added(settings)
    assert set(names) == held(admins[0])
    assert len(names) == len(set(names))


def test_a_revoked_token_ends_at_every_process_at_once(
    admins: tuple[httpx.Client, httpx.Client],
) -> None:
    """At the next request, although it has worked at both a moment ago."""
    here, there = admins
    for _ in range(5):
        made = here.post("/v1/tokens", json={"name": "t", "role": "viewer"}).json()
        bearer = {"Authorization": f"Bearer {made['token']}"}
        asked = [admin.get("/v1/gateways", headers=bearer).status_code for admin in admins]
        assert asked == [200, 200]
        assert there.delete(f"/v1/tokens/{made['id']}").status_code == 204
        asked = [admin.get("/v1/gateways", headers=bearer).status_code for admin in admins]
        assert asked == [401, 401]


def test_who_waits_elsewhere_with_a_revoked_token_is_let_go(
    processes: tuple[Process, Process], admins: tuple[httpx.Client, httpx.Client]
) -> None:
    made = admins[0].post("/v1/tokens", json={"name": "t", "role": "viewer"}).json()
    bearer = {"Authorization": f"Bearer {made['token']}"}
    began = Event()

    def wait() -> httpx.Response:
        with httpx.Client(base_url=processes[1].url, headers=bearer, timeout=70) as client:
            client.get("/v1/status")
            began.set()
            return client.get("/v1/allowlist/changes", params={"after": 0, "wait": 60})

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        assert began.wait(DEADLINE)
        assert admins[0].delete(f"/v1/tokens/{made['id']}").status_code == 204
        # Turned away, where it had not begun to wait yet.
        assert waiting.result(DEADLINE).status_code in (200, 401)


@on_sqlite
def test_the_server_believes_no_proxy_that_is_not_named(
    process: Process, settings: Settings
) -> None:
    """uvicorn by itself would take one on this machine at its word."""
    told = {"X-Forwarded-For": "203.0.113.7"}
    with process.client(Role.ADMIN) as admin:
        added = admin.post("/v1/gateways", json=gateway(), headers=told)
    assert added.status_code == 201
    assert records(settings)[-1].address == "127.0.0.1"
