"""Questions to routers: who may ask, who answers, for how long, and how many there may be."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from api.records import Role
from api.registry import questions as bounds
from tests.api.bodies import gateway
from tests.api.conftest import Service, on_sqlite
from tests.api.questions import (
    ACCOUNT,
    DEADLINE,
    EXPLAIN,
    PACKET,
    QUESTIONS,
    asked,
    reported,
    taken,
)


def kept(service: Service) -> list[Any]:
    with service.app.state.registry.store.read() as connection:
        return list(connection.execute(text("SELECT content, answer FROM questions")))


def test_the_routers_answer_comes_to_whoever_asked(service: Service) -> None:
    service.admin.post("/v1/gateways", json=gateway())
    reported(service)
    other = service.add_router("edge-2")
    revision = service.revision
    viewer = service.clients[Role.VIEWER]
    with asked(viewer, now="2026-12-01T00:00:00Z") as waiting:
        (question,) = taken(service.agent)
        assert question["packet"] == ACCOUNT["packet"]
        assert question["now"] == "2026-12-01T00:00:00Z"
        # It is handed out once; nobody but the router itself answers.
        assert service.agent.get(QUESTIONS).json()["items"] == []
        own = f"{QUESTIONS}/{question['id']}"
        for client in (viewer, other):
            assert client.put(own, json={"account": ACCOUNT}).status_code == 403
            assert client.get(QUESTIONS).status_code == 403
        elsewhere = f"/v1/routers/edge-2/questions/{question['id']}"
        assert other.put(elsewhere, json={"account": ACCOUNT}).status_code == 404
        assert service.agent.put(own, json={"account": ACCOUNT}).status_code == 204
        told = waiting.result(DEADLINE)
        again = service.agent.put(own, json={"account": ACCOUNT})
    assert (told.status_code, told.json()) == (200, ACCOUNT)
    assert (again.status_code, again.json()["type"]) == (404, "/problems/not-found")
    # Nothing of it is left, but that somebody asked; a minute later not even that.
    assert kept(service) == [(None, None)]
    service.clock.pass_time(bounds.KEPT)
    bounds.forget(service.app.state.registry)
    assert kept(service) == []
    recorded = service.clients[Role.AUDITOR].get("/v1/audit").json()["items"]
    assert not [each for each in recorded if "question" in each["action"]]
    assert service.revision == revision


@on_sqlite
def test_no_answer_is_a_clear_error(service: Service) -> None:
    def refused(status: int, kind: str, said: str, **query: str) -> None:
        response = service.admin.get(EXPLAIN, params={**PACKET, **query})
        problem = response.json()
        assert (response.status_code, problem["type"]) == (status, f"/problems/{kind}")
        assert said in problem["detail"]

    nobody = service.admin.get("/v1/routers/nobody/explain", params=PACKET)
    assert nobody.status_code == 404
    refused(409, "router-away", "has not reported yet")
    reported(service, version="0.0.9")
    refused(504, "not-taken", "older than questions (it runs peergate 0.0.9)", wait="0.05")
    with asked(service.admin, wait="0.5") as waiting:
        taken(service.agent)
        assert waiting.result(DEADLINE).json()["type"] == "/problems/no-answer"
    with asked(service.admin) as waiting:
        (question,) = taken(service.agent)
        own = f"{QUESTIONS}/{question['id']}"
        hostile = {**ACCOUNT, "why": ["\x1b]0;gone\x07"]}
        wrong: list[dict[str, Any]] = [
            {"account": hostile},
            {"account": {**ACCOUNT, "why": ["w"] * 65}},
            {"account": ACCOUNT, "error": "both"},
            {},
        ]
        for body in wrong:
            assert service.agent.put(own, json=body).status_code == 422, body
        assert service.agent.put(own, json={"error": "its maps are gone"}).status_code == 204
        said = waiting.result(DEADLINE).json()
    assert said["type"] == "/problems/router-refused"
    assert said["detail"] == "router 'edge-1': its maps are gone"
    for query, rule in (
        ({"src": "x"}, "not an IPv4 or IPv6 address"),
        ({"src": "::1"}, "one is IPv4, the other IPv6"),
        ({"src": "fe80::1%\x1b[2J", "dst": "::1", "wait": "0"}, "an address here has no zone"),
        ({"src": "::1", "dst": "fe80::1%eth0", "wait": "0"}, "an address here has no zone"),
        ({"proto": "esp"}, "has no ports"),
        ({"dport": "65536"}, "less than or equal"),
        ({"now": "noon"}, "must be a time with its zone"),
        ({"wait": "31"}, "less than or equal"),
    ):
        wrong_one = service.admin.get(EXPLAIN, params={**PACKET, **query})
        assert wrong_one.status_code == 422, query
        assert rule in wrong_one.json()["errors"][0]["rule"]
    service.clock.pass_time(timedelta(seconds=121))
    refused(409, "router-away", "is away, silent since 2026-11-23T12:00:00Z")


@on_sqlite
def test_there_are_only_so_many(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    reported(service)
    monkeypatch.setattr(bounds, "OF_CALLER", 2)
    monkeypatch.setattr(bounds, "OF_ROUTER", 3)
    ask = {**PACKET, "wait": "0"}

    def status(role: Role) -> int:
        return service.clients[role].get(EXPLAIN, params=ask).status_code

    assert [status(Role.VIEWER) for _ in range(3)] == [504, 504, 429]
    assert [status(Role.AUDITOR) for _ in range(2)] == [504, 429]
    refused = service.admin.get(EXPLAIN, params=ask)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    assert "3 questions a minute to router 'edge-1' are the most" in refused.json()["detail"]
    service.clock.pass_time(bounds.KEPT)
    assert status(Role.VIEWER) == 504


@on_sqlite
def test_a_router_that_asks_one_by_one_is_told(service: Service) -> None:
    service.admin.post("/v1/gateways", json=gateway())
    reported(service)
    changes = f"/v1/allowlist/changes?after={service.revision}"
    assert service.agent.get(changes).headers["Peergate-Asked"] == "0"

    def wait(heard: str) -> str:
        found = service.agent.get(f"{changes}&wait=60", headers={"Peergate-Asked": heard})
        number: str = found.headers["Peergate-Asked"]
        return number

    with ThreadPoolExecutor(1) as pool, asked(service.admin, wait="3") as waiting:
        number = pool.submit(wait, "0").result(DEADLINE)
        assert number != "0"
        # Also whoever comes later; but who knows of it waits.
        assert wait("0") == number
        again = pool.submit(wait, number)
        (question,) = taken(service.agent)
        assert str(question["id"]) == number
        assert not again.done()
        service.agent.put(f"{QUESTIONS}/{number}", json={"account": ACCOUNT})
        assert waiting.result(DEADLINE).status_code == 200
        service.add_gateway("spare", addresses=["198.51.100.9"])
        assert again.result(DEADLINE) == "0"
