"""Several processes of the service on one PostgreSQL: one registry, whoever is asked."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import count, cycle
from threading import Event
from typing import Self

import httpx
import pytest

from api.records import Role
from api.settings import Settings
from tests.api.bodies import gateway, peer
from tests.api.conftest import Seed, on_postgresql
from tests.api.process import DEADLINE, Process
from tests.postgresql import Server

pytestmark = on_postgresql

WRITERS = 6


@pytest.fixture
def processes(settings: Settings, seed: Seed) -> Iterator[tuple[Process, Process]]:
    """They never look at the database by themselves: a write must tell of itself."""
    with ExitStack() as stack:
        started = []
        for _ in range(2):
            process = Process(replace(settings, poll_seconds=3600), seed.tokens)
            stack.callback(process.end)
            started.append(process)
        for process in started:
            process.wait_until_ready()
        yield started[0], started[1]


@pytest.fixture
def admins(processes: tuple[Process, Process]) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    with processes[0].client(Role.ADMIN) as one, processes[1].client(Role.ADMIN) as other:
        yield one, other


def numbered(number: int) -> dict[str, object]:
    return gateway(name=f"g-{number:03}", addresses=[f"2001:db8::{number + 1:x}"])


def changed_after(client: httpx.Client, revision: int, wait: float = 0) -> tuple[int, set[str]]:
    """The revision, and the gateways that changed."""
    query = {"after": revision, "wait": wait}
    answer = client.get("/v1/allowlist/changes", params=query)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return found["revision"], set(found["gateways"])


def test_a_write_at_one_wakes_who_waits_at_the_other(
    processes: tuple[Process, Process], admins: tuple[httpx.Client, httpx.Client]
) -> None:
    def wait(after: int) -> float:
        with processes[1].client(Role.AGENT) as agent:
            agent.get("/healthz")
            ready.set()
            assert changed_after(agent, after, wait=60) == (after + 1, {f"g-{after:03}"})
            return time.monotonic()

    took = []
    with ThreadPoolExecutor(1) as pool:
        for number in range(9):
            ready = Event()
            waiting = pool.submit(wait, number)
            assert ready.wait(DEADLINE)
            time.sleep(0.3)  # its request is read, and waits
            assert admins[0].post("/v1/gateways", json=numbered(number)).status_code == 201
            answered = time.monotonic()
            took.append(waiting.result(DEADLINE) - answered)
    # Others may have the processor for a while: not all can be as fast.
    assert sorted(took)[len(took) // 2] < 0.1, took


def test_two_approvers_at_two_processes_one_wins(
    admins: tuple[httpx.Client, httpx.Client],
) -> None:
    admins[0].post("/v1/gateways", json=gateway())
    for number in range(1, 21):
        assert admins[0].post("/v1/peers", json=peer(name=f"p-{number}")).status_code == 201

        def approve(admin: httpx.Client, number: int = number) -> int:
            path = f"/v1/peers/{number}/approve"
            return admin.post(path, headers={"If-Match": '"1"'}).status_code

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(approve, admins)) == [200, 412]
    assert admins[1].get("/v1/status").json()["revision"] == 21


class Writers:
    """Threads that add gateways at both processes, each again and again until it is answered."""

    def __init__(self, pool: ThreadPoolExecutor, admins: tuple[httpx.Client, httpx.Client]) -> None:
        self._numbers = count()
        self._stop = Event()
        self.acknowledged: set[str] = set()
        self.turned_away = 0
        self._threads: list[Future[None]] = [
            pool.submit(self._run, admins[number % 2]) for number in range(WRITERS)
        ]

    def _run(self, admin: httpx.Client) -> None:
        """Ends also where the process is gone."""
        while not self._stop.is_set():
            number = next(self._numbers)
            key = {"Idempotency-Key": str(number)}
            while True:
                try:
                    answer = admin.post("/v1/gateways", json=numbered(number), headers=key)
                except httpx.TransportError:
                    return
                if answer.status_code == 201:
                    break
                assert answer.status_code == 503, answer.text
                assert answer.headers["Retry-After"] == "5"
                self.turned_away += 1
                time.sleep(0.02)
            self.acknowledged.add(f"g-{number:03}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def until(self, reached: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE
        while not reached():
            assert time.monotonic() < end
            assert not any(thread.done() and thread.exception() for thread in self._threads)
            time.sleep(0.001)

    def until_more(self) -> None:
        known = len(self.acknowledged)
        self.until(lambda: len(self.acknowledged) >= known + 25)

    def until_turned_away(self) -> None:
        known = self.turned_away
        self.until(lambda: self.turned_away >= known + WRITERS)

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.result(60)


def whole(admin: httpx.Client) -> set[str]:
    """All gateways. Each is one revision, and each revision one of them: nothing is half there."""
    revision, names = changed_after(admin, 0)
    assert revision == len(names)
    return names


def test_who_follows_changes_misses_none(admins: tuple[httpx.Client, httpx.Client]) -> None:
    """Revisions come in sight in their order, wherever they are written and read."""
    done = Event()

    def follow() -> tuple[int, set[str]]:
        """As an agent behind a load balancer does: now here, now there, only ever forward."""
        revision, held = 0, set[str]()
        for admin in cycle(admins):
            last = done.is_set()
            newest, names = changed_after(admin, revision)
            assert len(names) == newest - revision
            revision, held = newest, held | names
            if last:
                return revision, held
        raise AssertionError

    with ThreadPoolExecutor(WRITERS + 2) as pool, Writers(pool, admins) as writers:
        followers = [pool.submit(follow) for _ in range(2)]
        try:
            for _ in range(12):
                writers.until_more()
            writers.end()
        finally:
            done.set()
        everything = len(writers.acknowledged), writers.acknowledged
        assert [follower.result(60) for follower in followers] == [everything] * 2


def test_a_killed_process_loses_nothing_that_it_acknowledged(
    processes: tuple[Process, Process], admins: tuple[httpx.Client, httpx.Client]
) -> None:
    with ThreadPoolExecutor(WRITERS) as pool, Writers(pool, admins) as writers:
        writers.until_more()
        with processes[0].client(Role.ADMIN) as admin:
            last = admin.post("/v1/gateways", json=gateway()).status_code
            processes[0].process.kill()
        writers.until_more()
        writers.end()
    assert last == 201
    acknowledged = writers.acknowledged | {"hub"}
    found = whole(admins[1])
    assert acknowledged <= found
    # What was under way at the killed one, one for each who wrote there, may be there or not.
    assert len(found - acknowledged) <= WRITERS // 2


def test_a_killed_database_loses_nothing_that_was_acknowledged(
    admins: tuple[httpx.Client, httpx.Client], postgresql_server: Server
) -> None:
    with ThreadPoolExecutor(WRITERS) as pool, Writers(pool, admins) as writers:
        for _ in range(3):
            writers.until_more()
            with postgresql_server.away():
                writers.until_turned_away()
        writers.until_more()
        writers.end()
    # Neither process was started again, and what was sent twice was carried out once.
    assert [whole(admin) for admin in admins] == [writers.acknowledged] * 2
