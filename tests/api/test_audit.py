"""The audit trail: who changed what, when and from where, and that nothing is left out."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from api.bootstrap import admin_token, init
from api.database import open_store
from api.errors import ApiError
from api.records import Actor, AuditRecord, Role
from api.registry.trail import content
from api.settings import Settings
from api.store import audit, gateways
from api.store.schema import audit as table
from policy.document import GatewaySpec
from policy.prefixes import parse_trusted
from tests.api.bodies import NOW, gateway, peer, report, text
from tests.api.conftest import Service, on_filled
from tests.api.test_roles import ROUTES, ask

NO_CHANGE = {
    "PUT /v1/policy?dry_run=true",
    "PUT /v1/gateways/quiet/cutover?dry_run=true",
    "PUT /v1/routers/edge-1/report",
    "PUT /v1/routers/edge-1/seen",
    "PUT /v1/routers/edge-1/strangers",
    "PUT /v1/routers/edge-1/questions/1",
    # A sign-in stands in the log, as who uses a token does.
    "POST /v1/session",
}
ONLY_SENDS = {"POST /v1/webhooks/pager/test"}
# What owners do stands in test_moves.
CHANGES = [
    row
    for row in ROUTES
    if row[0] != "GET"
    and f"{row[0]} {row[1]}" not in NO_CHANGE | ONLY_SENDS
    and row[2] != {Role.OWNER}
]


def records(settings: Settings) -> list[AuditRecord]:
    store = open_store(settings)
    with store.read() as connection:
        found = audit.after(connection, 0, 10_000)
    store.close()
    return list(found)


def whole(settings: Settings) -> int:
    """How many records, after the chain was recomputed by other means than the service's."""
    store = open_store(settings)
    with store.read() as connection:
        head = audit.head(connection)
        rows = connection.execute(select(table).order_by(table.c.number)).all()
    store.close()
    last = "0" * 64
    for number, row in enumerate(rows, 1):
        assert row.number == number
        hashed = {
            "number": number,
            "time": text(row.time),
            "actor": {"name": row.actor, "role": row.role, "token": row.token},
            "from": row.address,
            "request": row.request,
            "action": row.action,
            "subject": row.subject,
            "before": row.before,
            "after": row.after,
            "previous": last,
        }
        spelled = json.dumps(hashed, sort_keys=True, separators=(",", ":"))
        last = hashlib.sha256(spelled.encode()).hexdigest()
        assert row.hash == last, number
    assert (head.number, head.hash) == (len(rows), last)
    return len(rows)


def latest(settings: Settings) -> dict[str, Any]:
    return content(records(settings)[-1])


def said(settings: Settings, since: int) -> list[tuple[str, str]]:
    return [(each.action, each.subject) for each in records(settings)[since:]]


@pytest.mark.parametrize(
    ("method", "path", "may", "body"), CHANGES, ids=[f"{row[0]} {row[1]}" for row in CHANGES]
)
@on_filled
def test_no_route_changes_anything_without_a_record(
    service: Service, settings: Settings, method: str, path: str, may: set[Role], body: object
) -> None:
    before = whole(settings)
    role = min(may, key=lambda role: role is Role.ADMIN)
    assert ask(service, role, method, path, body) < 300
    assert whole(settings) > before
    for record in records(settings)[before:]:
        name = "admin" if role is Role.ADMIN else f"a-{role}"
        assert (record.actor, record.role, record.address) == (name, role, "127.0.0.1")
        assert record.token is not None
        assert record.time == service.clock.now
        assert record.before != record.after


@on_filled
def test_what_changes_nothing_leaves_no_record(service: Service, settings: Settings) -> None:
    before = whole(settings)
    for method, path, _, body in ROUTES:
        if f"{method} {path}" in NO_CHANGE:
            assert ask(service, Role.ADMIN, method, path, body) < 300
    version = {"If-Match": "*"}
    same = service.admin.patch("/v1/gateways/hub", json={"mode": "enforce"}, headers=version)
    assert same.status_code == 200
    assert service.admin.post("/v1/gateways", json=gateway()).status_code == 409
    assert service.admin.post("/v1/peers/2/approve", headers=version).status_code == 409
    assert whole(settings) == before


def test_a_record_says_who_and_what_before_and_after(service: Service, settings: Settings) -> None:
    service.add_gateway()
    number = service.request_peer(valid_until=text(NOW + timedelta(days=9)))
    service.clock.pass_time(timedelta(minutes=1))
    approved = service.clients[Role.APPROVER].post(
        f"/v1/peers/{number}/approve", headers={"If-Match": "*"}
    )
    record = latest(settings)
    before, after = record.pop("before"), record.pop("after")
    assert record == {
        "number": whole(settings),
        "time": text(NOW + timedelta(minutes=1)),
        "actor": {
            "name": "a-approver",
            "role": "approver",
            "token": records(settings)[-1].token,
        },
        "from": "127.0.0.1",
        "request": approved.headers["X-Request-Id"],
        "action": "peer.approve",
        "subject": "peer/1",
    }
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"state", "listed", "version", "changed", "decided", "decided_by"}
    assert before["state"] == "pending"
    assert peer().items() <= after.items()
    assert after["valid_until"] == text(NOW + timedelta(days=9))


def test_each_step_of_a_life_has_its_word(service: Service, settings: Settings) -> None:
    began = whole(settings)
    service.add_gateway()
    for name in ("a", "b"):
        service.request_peer(name=name)
    version = {"If-Match": "*"}
    service.admin.patch("/v1/peers/1", json={"purpose": "other"}, headers=version)
    service.act(1, "approve")
    service.act(2, "reject", {"reason": "no contract"})
    service.act(1, "renew", {"valid_until": text(NOW + timedelta(days=1))})
    service.admin.patch("/v1/gateways/hub", json={"mode": "monitor"}, headers=version)
    service.act(1, "revoke", {"reason": "moved"})
    service.admin.delete("/v1/gateways/hub", headers=version)
    token = service.admin.post("/v1/tokens", json={"name": "t", "role": "viewer"}).json()["id"]
    service.admin.delete(f"/v1/tokens/{token}")
    assert said(settings, began) == [
        ("gateway.add", "gateway/hub"),
        ("peer.request", "peer/1"),
        ("peer.request", "peer/2"),
        ("peer.change", "peer/1"),
        ("peer.approve", "peer/1"),
        ("peer.reject", "peer/2"),
        ("peer.change", "peer/1"),
        ("gateway.change", "gateway/hub"),
        ("peer.revoke", "peer/1"),
        ("gateway.remove", "gateway/hub"),
        ("token.make", f"token/{token}"),
        ("token.revoke", f"token/{token}"),
    ]
    assert whole(settings) == began + 12


def test_a_policy_is_recorded_change_by_change(service: Service, settings: Settings) -> None:
    service.add_gateway()
    service.add_gateway("old", addresses=["198.51.100.7"])
    for name in ("kept", "dropped"):
        service.add_peer(name=name)
    service.request_peer(name="waiting")
    began = whole(settings)
    document = {
        "gateways": [
            gateway(mode="monitor"),
            gateway(name="spoke", addresses=["198.51.100.2"], services=["gre"]),
        ],
        "peers": [peer(name="kept", purpose="other"), peer(name="waiting"), peer(name="new")],
    }
    applied = service.admin.put("/v1/policy", json=document, headers={"If-Match": "*"})
    assert sorted(said(settings, began)) == [
        ("gateway.add", "gateway/spoke"),
        ("gateway.change", "gateway/hub"),
        ("gateway.remove", "gateway/old"),
        ("peer.add", "peer/4"),
        ("peer.approve", "peer/3"),
        ("peer.change", "peer/1"),
        ("peer.revoke", "peer/2"),
    ]
    ids = {each.request for each in records(settings)[began:]}
    assert ids == {applied.headers["X-Request-Id"]}
    assert whole(settings) == began + 7


def test_a_request_sent_again_is_recorded_once(service: Service, settings: Settings) -> None:
    began = whole(settings)
    for _ in range(2):
        service.admin.post("/v1/gateways", json=gateway(), headers={"Idempotency-Key": "k"})
    assert whole(settings) == began + 1


def test_a_router_that_lifts_the_registry_is_recorded(service: Service, settings: Settings) -> None:
    registry = service.admin.get("/v1/status").json()["registry"]
    service.agent.put("/v1/routers/edge-1/report", json=report(registry, 41, word=service.word(41)))
    record = latest(settings)
    assert (record["action"], record["subject"]) == ("registry.rise", "registry")
    assert (record["actor"]["name"], record["before"]["revision"]) == ("edge-1", 0)
    assert record["after"] == {"revision": 42, "cause": "router edge-1 reported revision 41"}


def test_what_time_does_is_recorded_too(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    service = start(replace(settings, upkeep_seconds=0.05))
    service.add_gateway()
    service.add_peer(valid_until=text(NOW + timedelta(days=1)))
    service.clock.pass_time(timedelta(days=32))
    while (record := latest(settings))["action"] != "peer.unlist":
        pass
    assert record["actor"] == {"name": "peergate", "role": None, "token": None}
    assert (record["from"], record["request"]) == (None, None)
    assert (record["before"]["listed"], record["after"]["listed"]) == (True, False)


def test_the_first_record_names_the_registry(empty: Settings) -> None:
    made = init(empty)
    first, second = records(empty)
    assert (first.action, first.after["registry"]) == ("registry.make", made.registry)
    assert (second.action, second.after["role"]) == ("token.make", "admin")
    assert "@" in first.actor
    admin_token(empty, "rescue")
    last = records(empty)[-1]
    assert (last.action, last.actor, last.after["name"]) == ("token.make", first.actor, "rescue")
    assert whole(empty) == 3


def test_a_change_without_a_record_is_not_committed(service: Service, settings: Settings) -> None:
    registry = service.app.state.registry
    spec = GatewaySpec.model_validate(gateway())
    before = whole(settings)
    with (  # noqa: PT012
        pytest.raises(RuntimeError, match="gateways: changed without an audit record"),
        registry.write(Actor("somebody"), "in silence") as write,
    ):
        gateways.add(write.connection, spec, NOW)
        write.touch_gateway("hub", None)
    assert service.admin.get("/v1/gateways").json()["items"] == []
    assert whole(settings) == before


def test_what_is_undone_leaves_no_record(service: Service, settings: Settings) -> None:
    registry = service.app.state.registry
    before = whole(settings)
    with pytest.raises(ApiError), registry.write(Actor("somebody"), "undone") as write:  # noqa: PT012
        for number in range(2500):
            write.record("gateway.add", f"gateway/g-{number}", None, {"name": f"g-{number}"})
        raise ApiError("on second thoughts")
    assert whole(settings) == before
    service.add_gateway()
    assert whole(settings) == before + 1


def test_many_records_of_one_change_are_one_chain(service: Service, settings: Settings) -> None:
    before = whole(settings)
    with service.app.state.registry.write(Actor("somebody"), "many") as write:
        for number in range(2500):
            write.record("gateway.add", f"gateway/g-{number}", None, {"name": f"é\u0000{number}"})
    assert whole(settings) == before + 2500


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
def test_the_database_refuses_to_change_a_record(
    service: Service, settings: Settings, statement: str
) -> None:
    before = whole(settings)
    store = open_store(settings)
    with pytest.raises((DBAPIError, ApiError), match="added to, never changed"):  # noqa: SIM117
        with store.write() as connection:
            connection.exec_driver_sql(statement)
    if store.tells:
        with pytest.raises((DBAPIError, ApiError), match="added to"), store.write() as connection:
            connection.exec_driver_sql("TRUNCATE audit")
    store.close()
    assert whole(settings) == before


def test_no_secret_is_in_it(service: Service, settings: Settings) -> None:
    made = service.admin.post("/v1/tokens", json={"name": "t", "role": "viewer"}).json()
    service.admin.delete(f"/v1/tokens/{made['id']}")
    secret = made["token"].split("_", 2)[2]
    everything = json.dumps([content(each) for each in records(settings)])
    assert secret not in everything
    assert hashlib.sha256(secret.encode()).hexdigest() not in everything


def test_it_has_the_client_that_a_trusted_proxy_names(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    service = start(replace(settings, trusted_proxies=(parse_trusted("127.0.0.1"),)))
    told = {"X-Forwarded-For": "203.0.113.99, 2001:db8:7::1", "X-Request-Id": "from-the-proxy"}
    service.admin.post("/v1/gateways", json=gateway(), headers=told)
    record = latest(settings)
    assert (record["from"], record["request"]) == ("2001:db8:7::1", "from-the-proxy")


def test_nothing_writes_but_what_records() -> None:
    """What a router reports, and how far a webhook was told, are no changes of the registry."""
    root = Path(__file__).parents[2]
    found = {
        str(path.relative_to(root))
        for path in (root / "api").rglob("*.py")
        if "store.write(" in path.read_text()
    }
    aside = {"api/registry/deliveries.py", "api/registry/routers.py"}
    assert found - aside == {"api/registry/core.py"}
