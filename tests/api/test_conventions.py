"""What all routes keep to: problems, versions, idempotency, queries, sizes."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from api.settings import Settings
from tests.api.bodies import gateway, peer
from tests.api.conftest import Service, on_sqlite


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/peers/", 404),
        ("GET", "/v1/gateways/nobody", 404),
        ("GET", "/v1/peers/77", 404),
        ("GET", "/v1/routers/nobody", 404),
        ("GET", "/docs", 404),
        ("PUT", "/v1/peers", 405),
        ("DELETE", "/v1/policy", 405),
        ("GET", "/v1/peers/0", 422),
        ("GET", "/v1/peers/4294967296", 422),
        ("GET", "/v1/peers?state=asleep", 422),
        ("GET", "/v1/peers?limit=0", 422),
        ("GET", "/v1/peers?cursor=x", 422),
        ("GET", "/v1/peers?stat=active", 422),
        ("GET", "/v1/allowlist/changes", 422),
        ("GET", "/v1/allowlist/changes?after=-1", 422),
        ("GET", "/v1/allowlist/changes?after=0&wait=61", 422),
        ("GET", "/v1/allowlist/changes?after=0&wait=nan", 422),
    ],
)
def test_every_error_is_a_problem(shared: Service, method: str, path: str, status: int) -> None:
    response = shared.admin.request(method, path)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert set(body) == {"type", "title", "status", "detail", "errors"}
    assert body["status"] == status
    if status == 422:
        assert all(set(each) == {"field", "value", "rule"} for each in body["errors"])
        assert body["errors"]


def test_a_wrong_method_names_the_right_ones(shared: Service) -> None:
    allowed = shared.admin.put("/v1/peers").headers["Allow"]
    assert set(allowed.split(", ")) == {"GET", "POST"}


def test_an_unknown_query_parameter_is_named(shared: Service) -> None:
    errors = shared.admin.get("/v1/peers?stat=active").json()["errors"]
    assert errors == [{"field": "stat", "value": "active", "rule": "unknown query parameter"}]


def test_what_is_no_name_is_not_told_how_names_are_written(shared: Service) -> None:
    (refused,) = shared.admin.get("/v1/peers?cursor=x").json()["errors"]
    assert (refused["field"], refused["value"]) == ("cursor", "x")
    assert "a name is" not in refused["rule"]


def test_a_defect_is_a_problem_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_read: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr("api.registry.status.status", broken)
    response = service.admin.get("/v1/status")
    assert (response.status_code, response.json()["status"]) == (500, 500)
    assert "secret" not in response.text


@on_sqlite
def test_a_file_that_is_gone_is_said_to_be(service: Service, settings: Settings) -> None:
    service.add_gateway()
    assert settings.database_file is not None
    settings.database_file.rename(settings.database_file.with_suffix(".away"))
    settings.database_file.mkdir()
    service.app.state.registry.store.engine.dispose()
    response = service.admin.get("/v1/gateways")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert service.nobody.get("/readyz").status_code == 503
    assert service.nobody.get("/healthz").status_code == 200


CHANGES = [
    ("PATCH", "/v1/gateways/hub", {"mode": "monitor"}),
    ("DELETE", "/v1/gateways/spare", None),
    ("PATCH", "/v1/peers/1", {"purpose": "other"}),
    ("POST", "/v1/peers/1/approve", None),
    ("POST", "/v1/peers/1/reject", {"reason": "no"}),
    ("POST", "/v1/peers/2/revoke", {"reason": "closed"}),
    ("POST", "/v1/peers/2/propose", {"purpose": "other"}),
    ("PATCH", "/v1/rules", {"four_eyes": True}),
    ("POST", "/v1/peers/2/renew", {"valid_until": "2040-01-01T00:00:00Z"}),
    ("PUT", "/v1/policy", {"gateways": [gateway()], "peers": []}),
]


@pytest.mark.parametrize(
    ("method", "path", "body"), CHANGES, ids=[f"{c[0]} {c[1]}" for c in CHANGES]
)
def test_a_change_is_for_the_version_that_was_read(
    service: Service, method: str, path: str, body: object
) -> None:
    service.add_gateway()
    service.add_gateway("spare", addresses=["198.51.100.9"])
    service.request_peer(name="pending")
    service.add_peer(name="approved")
    resource = "/".join(path.split("/")[:4])
    before = service.admin.get(resource)
    etag = before.headers["ETag"]
    for wrong, status in (
        ({}, 428),
        ({"If-Match": '"999"'}, 412),
        ({"If-Match": f"W/{etag}"}, 412),
        ({"If-Match": "nonsense"}, 412),
    ):
        refused = service.admin.request(method, path, json=body, headers=wrong)
        assert refused.status_code == status, wrong
        assert service.admin.get(resource).json() == before.json()
    done = service.admin.request(method, path, json=body, headers={"If-Match": f'"998", {etag}'})
    assert done.status_code < 300, done.text
    again = service.admin.request(method, path, json=body, headers={"If-Match": etag})
    assert again.status_code == (404 if method == "DELETE" else 412)


KEY = {"Idempotency-Key": "one-and-the-same"}


def test_a_repeated_request_is_carried_out_once(service: Service) -> None:
    service.add_gateway()
    first = service.admin.post("/v1/peers", json=peer(), headers=KEY)
    again = service.admin.post("/v1/peers", json=peer(), headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    # The request alone is another one.
    assert again.headers.pop("X-Request-Id") != first.headers.pop("X-Request-Id")
    assert (again.content, again.headers) == (first.content, first.headers)
    assert len(service.admin.get("/v1/peers").json()["items"]) == 1
    approve = {**KEY, "Idempotency-Key": "another", "If-Match": '"1"'}
    answers = [service.admin.post("/v1/peers/1/approve", headers=approve) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert service.revision == 2


def test_a_key_is_for_one_request(service: Service) -> None:
    service.add_gateway()
    service.admin.post("/v1/peers", json=peer(), headers=KEY)
    for path, body in (
        ("/v1/peers", peer(name="other")),
        ("/v1/gateways", gateway(name="b", addresses=["198.51.100.2"])),
    ):
        refused = service.admin.post(path, json=body, headers=KEY)
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/key-reused")
    assert len(service.admin.get("/v1/peers").json()["items"]) == 1


def test_a_key_belongs_to_its_token_and_does_not_last_for_ever(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    service = start(replace(settings, upkeep_seconds=0.05))
    service.add_gateway()
    service.admin.post("/v1/peers", json=peer(), headers=KEY)
    registrar = next(c for role, c in service.clients.items() if role == "registrar")
    assert registrar.post("/v1/peers", json=peer(), headers=KEY).status_code == 409
    service.clock.pass_time(timedelta(days=2))
    # The peer is there already; only once the key is forgotten is that what is said.
    for _ in range(400):
        status = service.admin.post("/v1/peers", json=peer(), headers=KEY).status_code
        if status == 409:
            break
    assert status == 409


def test_a_refused_request_may_come_again(service: Service) -> None:
    assert service.admin.post("/v1/peers", json=peer(), headers=KEY).status_code == 409
    service.add_gateway()
    assert service.admin.post("/v1/peers", json=peer(), headers=KEY).status_code == 201


def test_a_token_is_not_made_twice_nor_its_secret_kept(service: Service) -> None:
    body = {"name": "t", "role": "viewer"}
    assert service.admin.post("/v1/tokens", json=body, headers=KEY).status_code == 201
    again = service.admin.post("/v1/tokens", json=body, headers=KEY)
    assert (again.status_code, again.json()["type"]) == (409, "/problems/answer-not-kept")
    assert [t["name"] for t in service.admin.get("/v1/tokens").json()["items"]].count("t") == 1


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large_is_refused(
    start: Callable[[Settings], Service], settings: Settings, declared: bool
) -> None:
    service = start(replace(settings, max_body=2000))
    assert service.admin.post("/v1/gateways", json=gateway()).status_code == 201
    data = json.dumps(gateway(name="b" * 3000)).encode()

    async def pieces() -> object:
        for at in range(0, len(data), 500):
            yield data[at : at + 500]

    headers = {"Content-Type": "application/json"}
    response = service.admin.post(
        "/v1/gateways", content=data if declared else pieces(), headers=headers
    )
    assert response.status_code == 413
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "2000 bytes" in response.json()["detail"]
