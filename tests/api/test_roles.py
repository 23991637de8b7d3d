"""Every route with every role, and with none."""

from typing import Any
from urllib.parse import urlencode

import pytest

from api.records import Role
from tests.api.bodies import NOW, gateway, peer, text
from tests.api.conftest import Service, on_filled
from tests.api.filled import reported
from tests.api.questions import ACCOUNT, PACKET, explained, waiting_question
from tests.api.strangers import MINUTE, interval, seen

VIEWER, REGISTRAR, APPROVER, AGENT, ADMIN, AUDITOR, OWNER, METRICS = Role
READERS = {VIEWER, REGISTRAR, APPROVER, ADMIN, AUDITOR}
ALL = set(Role)
FOLLOWERS = ALL - {OWNER, METRICS}
CUTOVER = {"at": text(NOW + 60 * MINUTE)}

# At the registry of filled.py. Each row: method, path, who may, body.
ROUTES: list[tuple[str, str, set[Role], Any]] = [
    ("GET", "/v1/status", FOLLOWERS, None),
    ("GET", "/v1/allowlist", FOLLOWERS, None),
    ("GET", "/v1/allowlist/changes?after=1", FOLLOWERS, None),
    ("GET", "/v1/allowlist/keys", FOLLOWERS, None),
    ("GET", "/metrics", READERS | {METRICS}, None),
    ("GET", "/v1/gateways", READERS, None),
    ("GET", "/v1/gateways/hub", READERS, None),
    ("POST", "/v1/gateways", {ADMIN}, gateway(name="b", addresses=["198.51.100.2"])),
    ("PATCH", "/v1/gateways/hub", {ADMIN}, {"mode": "monitor"}),
    ("DELETE", "/v1/gateways/spare", {ADMIN}, None),
    ("GET", "/v1/peers", READERS, None),
    ("GET", "/v1/peers/export", READERS, None),
    ("GET", "/v1/peers/expiring", READERS, None),
    ("GET", "/v1/peers/1", READERS, None),
    ("GET", "/v1/peers/4", READERS | {OWNER}, None),
    ("POST", "/v1/peers/4/token", {APPROVER, ADMIN}, {}),
    ("DELETE", "/v1/peers/4/token", {APPROVER, ADMIN}, None),
    ("PUT", "/v1/peers/4/sources", {OWNER}, {"sources": ["203.0.113.9"]}),
    ("POST", "/v1/peers/4/here", {OWNER}, None),
    ("POST", "/v1/peers", {REGISTRAR, ADMIN}, peer(name="new")),
    ("POST", "/v1/peers/import", {REGISTRAR, ADMIN}, peer(name="new")),
    ("POST", "/v1/peers/import?state=approved", {ADMIN}, peer(name="new")),
    ("POST", "/v1/peers/import?mode=replace", {ADMIN}, peer(name="new")),
    ("POST", "/v1/policy/import", {ADMIN}, {"gateway": gateway()}),
    ("PATCH", "/v1/peers/1", {REGISTRAR, ADMIN}, {"purpose": "other"}),
    ("PATCH", "/v1/peers/2", {APPROVER, ADMIN}, {"purpose": "other"}),
    ("POST", "/v1/peers/1/approve", {APPROVER, ADMIN}, None),
    ("POST", "/v1/peers/1/reject", {APPROVER, ADMIN}, {"reason": "no"}),
    ("POST", "/v1/peers/2/revoke", {APPROVER, ADMIN}, {"reason": "closed"}),
    ("POST", "/v1/peers/2/renew", {APPROVER, ADMIN}, {"valid_until": None}),
    ("POST", "/v1/peers/2/propose", {REGISTRAR, APPROVER, ADMIN}, {"purpose": "other"}),
    ("POST", "/v1/peers/3/grant", {APPROVER, ADMIN}, None),
    ("POST", "/v1/peers/3/decline", {APPROVER, ADMIN}, {"reason": "no"}),
    ("GET", "/v1/rules", READERS, None),
    ("PATCH", "/v1/rules", {ADMIN}, {"four_eyes": True}),
    ("GET", "/v1/policy", READERS, None),
    ("PUT", "/v1/policy", {ADMIN}, {"gateways": [gateway()], "peers": []}),
    ("PUT", "/v1/policy?dry_run=true", {ADMIN}, {"gateways": [gateway()], "peers": []}),
    ("GET", "/v1/routers", READERS, None),
    ("GET", "/v1/routers/edge-1", READERS, None),
    ("POST", "/v1/routers", {ADMIN}, {"name": "edge-2"}),
    ("PATCH", "/v1/routers/edge-1", {ADMIN}, {"labels": {"site": "fra"}}),
    ("DELETE", "/v1/routers/spare", {ADMIN}, None),
    ("PUT", "/v1/routers/edge-1/report", {AGENT, ADMIN}, "report"),
    ("GET", f"/v1/routers/edge-1/explain?{urlencode(PACKET)}", READERS, None),
    ("GET", "/v1/routers/edge-1/questions", {AGENT, ADMIN}, None),
    ("PUT", "/v1/routers/edge-1/questions/1", {AGENT, ADMIN}, "answer"),
    ("GET", "/v1/revisions", READERS, None),
    ("POST", "/v1/rollback", {ADMIN}, {"to_revision": 1}),
    ("GET", "/v1/rollout", READERS, None),
    ("PUT", "/v1/rollout", {ADMIN}, {"canaries": {"stage": "test"}, "hold": 60}),
    ("DELETE", "/v1/rollout", {ADMIN}, None),
    ("POST", "/v1/rollout/confirm", {ADMIN}, "confirmed"),
    ("POST", "/v1/rollout/abort", {ADMIN}, None),
    ("GET", "/v1/events?follow=false", READERS, None),
    ("GET", "/v1/webhooks", {ADMIN}, None),
    ("GET", "/v1/webhooks/pager", {ADMIN}, None),
    ("POST", "/v1/webhooks", {ADMIN}, {"name": "new", "url": "https://192.0.2.80/"}),
    ("PATCH", "/v1/webhooks/pager", {ADMIN}, {"types": ["peer.requested"]}),
    ("DELETE", "/v1/webhooks/pager", {ADMIN}, None),
    ("POST", "/v1/webhooks/pager/test", {ADMIN}, None),
    ("POST", "/v1/webhooks/pager/secret", {ADMIN}, None),
    ("PUT", "/v1/routers/edge-1/seen", {AGENT, ADMIN}, "seen"),
    ("PUT", "/v1/routers/edge-1/strangers", {AGENT, ADMIN}, "strangers"),
    ("GET", "/v1/strangers", READERS, None),
    ("GET", "/v1/strangers/1", READERS, None),
    ("GET", "/v1/gateways/hub/strangers", READERS, None),
    ("GET", "/v1/gateways/hub/rates?seconds=600", READERS, None),
    ("GET", "/v1/gateways/hub/readiness", READERS, None),
    ("GET", "/v1/gateways/switched/cutover", READERS, None),
    ("PUT", "/v1/gateways/quiet/cutover?dry_run=true", {APPROVER, ADMIN}, CUTOVER),
    ("PUT", "/v1/gateways/quiet/cutover", {APPROVER, ADMIN}, CUTOVER),
    ("POST", "/v1/gateways/switched/cutover/confirm", {APPROVER, ADMIN}, None),
    ("POST", "/v1/gateways/switched/cutover/return", {APPROVER, ADMIN}, {"reason": "a test"}),
    (
        "POST",
        "/v1/strangers/1/register",
        {REGISTRAR, ADMIN},
        {"owner": "Branch networks", "contact": "netops@example.net", "purpose": "A tunnel"},
    ),
    ("GET", "/v1/sign-offs", READERS, None),
    ("GET", "/v1/sign-offs/1", READERS, None),
    (
        "POST",
        "/v1/sign-offs",
        {APPROVER, ADMIN},
        {"gateway": "hub", "prefix": "192.0.2.9", "reason": "a scanner"},
    ),
    ("DELETE", "/v1/sign-offs/1", {APPROVER, ADMIN}, None),
    ("GET", "/v1/tokens", {ADMIN}, None),
    ("POST", "/v1/tokens", {ADMIN}, {"name": "new", "role": "viewer"}),
    ("DELETE", "/v1/tokens/2", {ADMIN}, None),
    ("GET", "/v1/session", READERS, None),
    ("POST", "/v1/session", READERS, None),
    ("GET", "/v1/audit?subject=peer/1", {AUDITOR, ADMIN}, None),
    ("GET", "/v1/audit/head", {AUDITOR, ADMIN}, None),
    ("GET", "/v1/audit/export", {AUDITOR, ADMIN}, None),
]
CHANGES = [row for row in ROUTES if row[0] != "GET"]
OPEN = {("GET", "/healthz"), ("GET", "/readyz")}
# A token has no session that it could end: tests/api/test_session.py.
OF_SESSIONS = {("DELETE", "/v1/session")}


def ask(service: Service, role: Role | None, method: str, path: str, body: Any) -> int:  # noqa: ANN401
    if body == "report":
        body = reported(service)
    if body == "confirmed":
        body = {"revision": service.revision}
    if body == "seen":
        registry = service.admin.get("/v1/status").json()["registry"]
        body = {"registry": registry, "seen": [{"at": "2026-11-23T12:00:00Z", "peers": [1, 9]}]}
    if body == "strangers":
        body = interval(service, [seen()], until=NOW + MINUTE)
    client = service.nobody if role is None else service.clients[role]
    if body == "answer":
        path = f"/v1/routers/edge-1/questions/{waiting_question(service)}"
        body = {"account": ACCOUNT}
    if "/explain?" in path and role in READERS:
        return explained(service, client).status_code
    headers = {"If-Match": "*"} if method != "GET" else {}
    return client.request(method, path, json=body, headers=headers).status_code


@pytest.mark.parametrize(
    ("method", "path", "may", "body"), ROUTES, ids=[f"{row[0]} {row[1]}" for row in ROUTES]
)
def test_nobody_else_may(
    shared: Service, method: str, path: str, may: set[Role], body: object
) -> None:
    before = shared.admin.get("/v1/policy").json(), shared.admin.get("/v1/tokens").json()
    for role in ALL - may:
        assert ask(shared, role, method, path, body) == 403, role
    assert ask(shared, None, method, path, body) == 401
    assert (shared.admin.get("/v1/policy").json(), shared.admin.get("/v1/tokens").json()) == before


def test_reads_are_for_each_who_may(shared: Service) -> None:
    for method, path, may, _ in ROUTES:
        if method == "GET":
            for role in may:
                assert ask(shared, role, method, path, None) == 200, (role, path)


@pytest.mark.parametrize(
    ("method", "path", "may", "body"), CHANGES, ids=[f"{row[0]} {row[1]}" for row in CHANGES]
)
@on_filled
def test_each_role_may_do_what_is_its_own(
    service: Service, method: str, path: str, may: set[Role], body: object
) -> None:
    role = min(may, key=lambda role: role is ADMIN)
    assert ask(service, role, method, path, body) < 300, role


def test_no_route_was_forgotten(shared: Service) -> None:
    documented = {
        (method.upper(), path)
        for path, methods in shared.nobody.get("/openapi.json").json()["paths"].items()
        for method in methods
    }

    def template(path: str) -> str:
        path = path.partition("?")[0]
        if path in {known for _, known in documented}:
            return path
        parts = path.split("/")
        kinds = {"gateways": "{name}", "routers": "{name}", "peers": "{id}", "tokens": "{id}"}
        named = any("/".join(parts) == path for _, path in documented)
        if parts[-2] == "questions":
            parts[-1] = "{id}"
        kinds |= {"webhooks": "{name}", "strangers": "{id}", "sign-offs": "{id}"}
        if len(parts) > 3 and parts[2] in kinds and not named:
            parts[3] = kinds[parts[2]]
        return "/".join(parts)

    assert {
        (method, template(path)) for method, path, _, _ in ROUTES
    } | OPEN | OF_SESSIONS == documented


def test_a_refusal_names_the_role_that_is_needed(shared: Service) -> None:
    refused = shared.clients[VIEWER].post("/v1/peers/1/approve", headers={"If-Match": "*"})
    assert refused.json()["detail"] == (
        "this needs the role approver or admin; the token 'a-viewer' has the role viewer"
    )


def test_a_registrar_cannot_let_anybody_in(shared: Service) -> None:
    """Not by editing what was approved already, either."""
    refused = shared.clients[REGISTRAR].patch(
        "/v1/peers/2", json={"sources": ["203.0.113.0/24"]}, headers={"If-Match": "*"}
    )
    assert refused.status_code == 403
    assert "approver" in refused.json()["detail"]
