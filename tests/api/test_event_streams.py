"""Streams of events: woken by what happens anywhere, ended when they should be, cheap."""

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import islice
from pathlib import Path

import httpx
import pytest
from sqlalchemy import event as sqlalchemy_event

from api.errors import GoneError
from api.records import Origin, Role
from api.registry.permissions import Caller
from api.routes.events import Stream
from api.settings import Settings
from tests.api.bodies import gateway, peer, report, text
from tests.api.conftest import Seed, Service, on_postgresql
from tests.api.process import DEADLINE, Process
from tests.api.streams import following, parsed
from tests.postgresql import Server


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """On PostgreSQL nobody looks: what happens must tell of itself."""
    return replace(settings, poll_seconds=3600 if settings.database_file is None else 0.1)


@pytest.fixture
def processes(settings: Settings, seed: Seed) -> Iterator[tuple[Process, Process]]:
    with ExitStack() as stack:
        started = [Process(settings, seed.tokens) for _ in range(2)]
        for process in started:
            stack.callback(process.end)
        for process in started:
            process.wait_until_ready()
        yield started[0], started[1]


def b(number: int) -> dict[str, object]:
    return gateway(name=f"b-{number:04}", addresses=[f"2001:db8::{number + 1:x}"])


def test_a_stream_is_told_at_once(process: Process) -> None:
    with process.client(Role.ADMIN) as admin, process.client(Role.VIEWER) as viewer:
        with following(viewer) as events:
            admin.post("/v1/gateways", json=gateway())
            assert next(events)["type"] == "gateway.added"
            admin.post("/v1/peers", json=peer())
            admin.post("/v1/peers/1/approve", headers={"If-Match": "*"})
            assert [next(events)["type"] for _ in range(2)] == ["peer.requested", "peer.approved"]
        with following(viewer, types="peer.approved", after=0) as events:
            assert next(events)["subject"] == "1"


@on_postgresql
def test_what_happens_at_one_is_told_at_the_other(processes: tuple[Process, Process]) -> None:
    with (
        processes[0].client(Role.ADMIN) as admin,
        processes[1].client(Role.VIEWER) as viewer,
        following(viewer) as events,
    ):
        for number in range(20):
            admin.post("/v1/gateways", json=b(number))
            assert next(events)["subject"] == f"b-{number:04}"


def test_it_ends_with_its_token(process: Process) -> None:
    with process.client(Role.ADMIN) as admin:

        def client(**fields: object) -> tuple[int, httpx.Client]:
            body = {"name": "t", "role": "viewer"} | fields
            made = admin.post("/v1/tokens", json=body).json()
            headers = {"Authorization": f"Bearer {made['token']}"}
            return made["id"], httpx.Client(base_url=process.url, headers=headers, timeout=DEADLINE)

        number, client_ = client()
        _, other_ = client()
        with client_ as revoked, other_ as other:
            with following(revoked) as events, following(other) as goes_on:
                admin.post("/v1/gateways", json=gateway())
                assert next(events)["type"] == "gateway.added"
                admin.delete(f"/v1/tokens/{number}")
                assert [each["type"] for each in events] == ["token.revoked"]
                assert [next(goes_on)["type"] for _ in range(2)] == [
                    "gateway.added",
                    "token.revoked",
                ]
            assert revoked.get("/v1/events").status_code == 401
        soon = datetime.now(UTC) + timedelta(seconds=1.5)
        _, client_ = client(expires=text(soon))
        with client_ as expiring, following(expiring) as events:
            assert list(events) == []
            assert datetime.now(UTC) >= soon


def test_one_that_reads_up_ends_with_its_token_too(service: Service) -> None:
    """It is far behind the event that would tell it."""
    service.add_gateway()
    made = service.admin.post("/v1/tokens", json={"name": "t", "role": "viewer"}).json()
    service.admin.delete(f"/v1/tokens/{made['id']}")
    origin = Origin(ip_address("192.0.2.1"), "a request", proxy=False)
    caller = Caller(made["id"], "t", Role.VIEWER, origin)
    stream = Stream(service.app.state.registry, service.app.state.feed, caller, frozenset(), True)
    with pytest.raises(GoneError):
        stream.read(0)


def test_the_service_ends_with_streams_open(process: Process) -> None:
    with process.client(Role.VIEWER) as viewer, following(viewer) as events:
        process.process.send_signal(signal.SIGTERM)
        assert list(events) == []
    assert process.process.wait(DEADLINE) == 0


def test_a_stream_that_was_cut_off_goes_on_without_gap_or_double(
    processes: tuple[Process, Process],
) -> None:
    """Writers everywhere, of changes and of reports, which wait for nobody; a follower that is
    cut off all the time and comes back, now here, now there."""
    done = threading.Event()

    def write(process: Process, start: int) -> int:
        with process.client(Role.ADMIN) as admin:
            registry = admin.get("/v1/status").json()["registry"]
            for number in range(start, start + 15):
                assert admin.post("/v1/gateways", json=b(number)).status_code == 201
                name = {"name": f"r-{number}"}
                assert admin.post("/v1/routers", json=name).status_code == 201
                path = f"/v1/routers/r-{number}/report"
                assert admin.put(path, json=report(registry, 0)).status_code == 204
        return 45

    def follow(begin: int) -> list[int]:
        seen: list[int] = []
        at = 0
        while True:
            last = done.is_set()
            at += 1
            with processes[at % 2].client(Role.VIEWER) as viewer:
                place = {"Last-Event-ID": str(seen[-1] if seen else begin)}
                query = {"follow": str(not last).lower()}
                with viewer.stream("GET", "/v1/events", params=query, headers=place) as response:
                    assert response.status_code == 200, response.read()
                    events = parsed(response.iter_lines())
                    seen += [e["id"] for e in (events if last else islice(events, at % 7 + 1))]
            if last:
                return seen

    with processes[0].client(Role.ADMIN) as admin:
        admin.post("/v1/peers", json=peer())
        admin.post("/v1/gateways", json=gateway())
        listed = admin.get("/v1/events?follow=false").text.splitlines()
        begin = list(parsed(listed))[-1]["id"]
    with ThreadPoolExecutor(6) as pool:
        followers = [pool.submit(follow, begin) for _ in range(2)]
        writers = [pool.submit(write, processes[n % 2], 15 * n) for n in range(4)]
        try:
            total = sum(writer.result(120) for writer in writers)
        finally:
            done.set()
            with processes[0].client(Role.ADMIN) as admin:
                # Whoever waits for one more has it.
                for number in range(900, 908):
                    admin.post("/v1/gateways", json=b(number))
        for follower in followers:
            seen = follower.result(60)
            assert len(seen) >= total
            assert seen == list(range(begin + 1, begin + len(seen) + 1))


@on_postgresql
def test_the_database_comes_back(process: Process, postgresql_server: Server) -> None:
    with (
        process.client(Role.VIEWER) as viewer,
        process.client(Role.ADMIN) as admin,
        following(viewer) as events,
    ):
        admin.post("/v1/gateways", json=b(1))
        assert next(events)["subject"] == "b-0001"
        with postgresql_server.away():
            assert admin.post("/v1/gateways", json=b(2)).status_code == 503
        assert admin.post("/v1/gateways", json=b(3)).status_code == 201
        assert next(events)["subject"] == "b-0003"


def test_many_readers_cost_one(service: Service) -> None:
    """All of them at the newest are served by one query."""
    asked: list[str] = []
    engine = service.app.state.registry.store.engine

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        # What clears away may come meanwhile: it asks for a time.
        if "FROM events" in statement and "time <" not in statement:
            asked.append(statement)

    feed, watch = service.app.state.feed, service.app.state.happened
    service.add_gateway()
    place = watch.newest
    sqlalchemy_event.listen(engine, "before_cursor_execute", note)

    async def wait() -> list[int]:
        def own(_: int) -> tuple[()]:
            raise AssertionError("none is far behind")

        tasks = [asyncio.create_task(feed.after(place, 20, own)) for _ in range(300)]
        found = await asyncio.gather(*tasks)
        return [len(each) for each in found]

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(service.admin.call, wait)
        while watch.waiting < 300:
            time.sleep(0.01)
        service.request_peer()
        assert waiting.result(DEADLINE) == [1] * 300
    assert len(asked) == 1


_IMPATIENT = """
import dataclasses, sys
from api import serve
from api.settings import Settings
serve._STALLED_MS = 2000
serve.serve(Settings.from_environment(listen=sys.argv[1]))
"""


def connected(server: int, client: int) -> bool:
    """Whether the server's end of this connection over loopback is there."""
    wanted = [f"0100007F:{port:04X}" for port in (server, client)]
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1:4] == [*wanted, "01"] for line in lines)


def test_one_that_does_not_read_is_cut_off_and_holds_up_nobody(
    settings: Settings, seed: Seed
) -> None:
    process = Process(settings, seed.tokens, program=_IMPATIENT)
    try:
        process.wait_until_ready()
        with process.client(Role.ADMIN) as admin, process.client(Role.VIEWER) as viewer:
            host, port = process.url.removeprefix("http://").split(":")
            with socket.socket() as stuck, following(viewer) as events:
                stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stuck.connect((host, int(port)))
                token = process.tokens[Role.VIEWER]
                stuck.sendall(
                    f"GET /v1/events?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}"
                    "\r\n\r\n".encode()
                )
                for round_ in range(1, 6):
                    assert round_ > 1 or connected(int(port), stuck.getsockname()[1])
                    some = [
                        peer(name=f"p-{n}", owner="x" * 200, purpose=f"{round_}")
                        for n in range(1, 101)
                    ]
                    document = {"gateways": [gateway()], "peers": some}
                    done = admin.put("/v1/policy", json=document, headers={"If-Match": "*"})
                    assert done.status_code == 200, done.text
                    applied = 0
                    while not applied:
                        applied = next(events)["type"] == "policy.applied"
                end = time.monotonic() + DEADLINE
                while connected(int(port), stuck.getsockname()[1]):
                    assert time.monotonic() < end
                    time.sleep(0.1)
    finally:
        process.end()
