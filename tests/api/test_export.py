"""Everything at once: of one moment, in any length, and with an end that can be seen."""

import asyncio
import json
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack
from datetime import timedelta

import httpx
import pytest
from starlette.types import Message, Send

from api.errors import UnavailableError
from api.records import Role, State
from api.registry import bulk
from api.routes.streams import Stream
from policy.document import Policy
from policy.file import parse_policy
from tests.api.bodies import NOW, WEEK, gateway, peer, text
from tests.api.conftest import Service
from tests.api.process import DEADLINE, Process

EXPORT = "/v1/peers/export"
YAML = {"Accept": "application/yaml"}


def lines(response: httpx.Response) -> list[dict[str, object]]:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def populated(service: Service) -> None:
    service.add_gateway()
    service.request_peer(name="pending")
    service.add_peer(name="active", valid_until=text(NOW + WEEK))
    service.add_peer(name="expired", valid_until=text(NOW + timedelta(hours=1)))
    service.act(service.request_peer(name="rejected"), "reject", {"reason": "no"})
    service.act(service.add_peer(name="revoked", owner="Größe 😀"), "revoke", {"reason": "over"})
    service.clock.pass_time(timedelta(days=1))


def test_every_peer_of_every_state_is_a_line(service: Service) -> None:
    populated(service)
    found = lines(service.admin.get(EXPORT))
    assert found == service.admin.get("/v1/peers").json()["items"]
    assert [each["state"] for each in found] == [
        "pending",
        "active",
        "expired",
        "rejected",
        "revoked",
    ]


def test_an_empty_registry_has_no_lines(service: Service) -> None:
    assert lines(service.admin.get(EXPORT)) == []
    assert parse_policy(service.admin.get("/v1/policy", headers=YAML).text) == Policy()


def test_it_is_read_in_batches_and_all_of_them_are_sent(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.store.peers._BATCH", 2)
    populated(service)
    assert len(lines(service.admin.get(EXPORT))) == 5
    document = service.admin.get("/v1/policy").json()
    assert [each["name"] for each in document["peers"]] == ["active", "expired"]
    assert parse_policy(service.admin.get("/v1/policy", headers=YAML).text) == (
        Policy.model_validate(document)
    )


def test_it_shows_one_state_whatever_is_written_meanwhile(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.store.peers._BATCH", 2)
    populated(service)
    with service.app.state.registry.read() as read:
        batches = bulk.every(read)
        found = list(next(batches))
        service.add_peer(name="late")
        service.act(1, "reject")
        service.act(2, "revoke")
        found += [each for batch in batches for each in batch]
    assert [each.state for each in found[:3]] == [State.PENDING, State.APPROVED, State.APPROVED]
    assert len(found) == 5


@pytest.mark.parametrize(
    ("accept", "found"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/yaml", "application/yaml"),
        ("application/json, application/yaml", "application/json"),
        ("text/html, application/yaml;q=0.9", "application/yaml"),
    ],
)
def test_accept_says_whether_the_policy_is_a_file(
    service: Service, accept: str | None, found: str
) -> None:
    answer = service.admin.get("/v1/policy", headers={"Accept": accept} if accept else {})
    assert answer.headers["Content-Type"].partition(";")[0] == found
    assert answer.headers["ETag"] == '"0"'


def test_only_some_are_under_way_at_once(service: Service) -> None:
    places = service.app.state.streams
    held = [places.taken() for _ in range(4)]
    for each in held:
        each.__enter__()
    refused = service.admin.get(EXPORT)
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/busy")
    held[0].__exit__(None, None, None)
    for _ in range(9):
        assert service.admin.get(EXPORT).status_code == 200
        assert service.admin.get("/v1/policy").status_code == 200


def test_who_goes_before_the_end_leaves_nothing_behind(process: Process) -> None:
    with process.client(Role.ADMIN) as admin:
        many = [peer(name=f"p{n}", purpose="x" * 500) for n in range(1000)]
        body = {"gateways": [gateway()], "peers": many}
        assert admin.put("/v1/policy", json=body, headers={"If-Match": "*"}).status_code == 200
        for _ in range(6):
            with process.client(Role.VIEWER) as viewer, viewer.stream("GET", EXPORT) as answer:
                next(answer.iter_raw())
        end = time.monotonic() + DEADLINE
        while admin.get(EXPORT).status_code != 200:
            assert time.monotonic() < end, "the places of those who left are still taken"


def _answered(pieces: Generator[bytes], send: Send) -> bool:
    """Whether what it held was given back."""
    given_back = threading.Event()
    with ExitStack() as held:
        held.callback(given_back.set)
        response = Stream(pieces, "text/plain", {}, held.pop_all(), stalled=0.05)

    async def nothing() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    asyncio.run(response({"type": "http", "path": "/"}, nothing, send))
    return given_back.is_set()


def test_a_reader_who_takes_nothing_is_left() -> None:
    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    assert _answered((b"piece" for _ in range(3)), send)


def test_a_database_that_goes_away_leaves_an_answer_without_end() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    def broken() -> Generator[bytes]:
        yield b"piece"
        raise UnavailableError("the database does not answer")

    assert _answered(broken(), send)
    assert [message.get("more_body") for message in sent] == [None, True]
