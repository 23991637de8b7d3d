"""A router that answers questions, as an agent does."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import httpx

from api.question_records import Asked
from api.records import Origin, Role
from api.registry import questions
from api.registry.permissions import Caller
from tests.api.bodies import report
from tests.api.client import Client
from tests.api.conftest import Service

DEADLINE = 20.0
EXPLAIN = "/v1/routers/edge-1/explain"
QUESTIONS = "/v1/routers/edge-1/questions"
PACKET = {"src": "203.0.113.7", "dst": "198.51.100.1", "proto": "udp", "dport": "51820"}
ACCOUNT: dict[str, Any] = {
    "packet": {
        "src": "203.0.113.7",
        "dst": "198.51.100.1",
        "proto": 17,
        "sport": 49152,
        "dport": 51820,
    },
    "now": "2026-11-23T12:00:00Z",
    "revision": 1,
    "verdict": "registered",
    "action": "pass",
    "would_drop": False,
    "gateway": "hub",
    "peer": {
        "id": 7,
        "name": "branch-7",
        "gateway": "hub",
        "owner": "Branch networks",
        "contact": "netops@example.net",
        "purpose": "Site-to-site tunnel of branch 7",
        "source": "203.0.113.7/32",
        "valid_from": None,
        "valid_until": None,
        "standing": "is valid",
    },
    "nearest": None,
    "why": ["203.0.113.7/32 of peer branch-7 (7) at hub is valid"],
}


def reported(service: Service, **fields: object) -> None:
    registry = service.admin.get("/v1/status").json()["registry"]
    body = report(registry, service.revision, **fields)
    told = service.agent.put("/v1/routers/edge-1/report", json=body)
    assert told.status_code == 204, told.text


def taken(agent: Client) -> list[dict[str, Any]]:
    """What the router is asked, once it is."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        found = agent.get(QUESTIONS)
        assert found.status_code == 200, found.text
        if items := found.json()["items"]:
            asked: list[dict[str, Any]] = items
            return asked
        time.sleep(0.01)
    raise AssertionError("nobody asked")


def waiting_question(service: Service) -> int:
    """The number of one that the router has taken, and that nobody comes back for."""
    origin = Origin(ip_address("127.0.0.1"), "", proxy=False)
    caller = Caller(1, "nobody", Role.VIEWER, origin)
    packet = Asked(ACCOUNT["packet"], None)
    registry = service.app.state.registry
    number = questions.ask(registry, caller, "edge-1", packet, timedelta(seconds=10))
    assert number in {each["id"] for each in taken(service.agent)}
    return number


@contextmanager
def asked(client: Client, **query: str) -> Iterator["Future[httpx.Response]"]:
    """Somebody asks, and waits for the answer while the block goes on."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(client.get, EXPLAIN, params={**PACKET, **query})


def explained(service: Service, client: Client, **query: str) -> httpx.Response:
    """What is answered to whoever asks, where the router says that it is registered."""
    with asked(client, **query) as waiting:
        (question,) = taken(service.agent)
        answer = service.agent.put(f"{QUESTIONS}/{question['id']}", json={"account": ACCOUNT})
        assert answer.status_code == 204, answer.text
        return waiting.result(DEADLINE)
