"""Before a body is read it is known whose it is, and no body is larger than its route needs."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from api.limits import MOST
from api.records import Role
from tests.api.bodies import NOW, gateway, peer, report, text
from tests.api.conftest import Service

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/peers"),
        ("PUT", "/v1/policy"),
        ("PUT", "/v1/routers/edge-1/report"),
        ("PUT", "/v1/routers/edge-1/seen"),
        ("POST", "/v1/peers/import"),
    ],
)
@pytest.mark.parametrize("token", [None, "pg_1_wrong"])
def test_a_strangers_body_is_not_read(
    service: Service, method: str, path: str, token: str | None
) -> None:
    read = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield b"[" * 1000

    client = service.nobody if token is None else service.nobody.with_token(token)
    refused = client.request(method, path, content=pieces(), headers=JSON)
    assert (refused.status_code, read) == (401, 0)
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert refused.headers["X-Request-Id"]
    refused = client.request(method, path, content=b"{", headers=JSON)
    assert refused.status_code == 401


def test_of_whoever_is_known_the_role_is_asked_all_the_same(service: Service) -> None:
    viewer = service.clients[Role.VIEWER]
    assert viewer.post("/v1/gateways", json=gateway()).status_code == 403
    registry = service.admin.get("/v1/status").json()["registry"]
    sent = report(registry, 0)
    assert viewer.put("/v1/routers/edge-1/report", json=sent).status_code == 403
    router = service.add_router("far")
    assert router.put("/v1/routers/far/report", json=sent).status_code == 204
    assert router.put("/v1/routers/edge-1/report", json=sent).status_code == 403


def test_most_bodies_are_small_and_some_are_not(service: Service) -> None:
    service.add_gateway()
    big = peer(purpose="x" * MOST)
    assert service.admin.post("/v1/peers", json=big).status_code == 413
    sources = [f"2001:db8:ffff:ffff:ffff:ffff:{n:x}:ffff/128" for n in range(4096)]
    assert service.admin.post("/v1/peers", json=peer(sources=sources)).status_code == 201
    policy = {"gateways": [gateway()], "peers": [peer(name=f"p-{n}") for n in range(2000)]}
    assert len(json.dumps(policy)) > MOST
    applied = service.admin.put("/v1/policy?dry_run=true", json=policy)
    assert applied.status_code == 200, applied.text
    registry = service.admin.get("/v1/status").json()["registry"]
    router = service.add_router("far")
    count = {"packets": 1, "bytes": 60}
    counters = {f"hub-{n}": {"registered_pass": count, "other_pass": count} for n in range(4000)}
    sent = report(registry, 0, counters=counters)
    assert len(json.dumps(sent)) > MOST
    assert router.put("/v1/routers/far/report", json=sent).status_code == 204
    moments = [text(NOW + timedelta(seconds=n)) for n in range(2)]
    seen = [{"at": at, "peers": list(range(10**6, 10**6 + 20_000))} for at in moments]
    sent = {"registry": registry, "seen": seen}
    assert len(json.dumps(sent)) > MOST
    assert router.put("/v1/routers/far/seen", json=sent).status_code == 204
