"""Lines of peers: whole or not at all, wrong ones named by their number."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.records import Role
from api.settings import Settings
from tests.api.bodies import NOW, WEEK, gateway, peer, text
from tests.api.conftest import Service

IMPORT = "/v1/peers/import"
ANY = {"If-Match": "*"}


def ndjson(*lines: object) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def named(*names: str, **fields: object) -> list[dict[str, Any]]:
    return [peer(name=name, **fields) for name in names]


def send(service: Service, *lines: object, **query: str) -> httpx.Response:
    body = b"".join(line if isinstance(line, bytes) else ndjson(line) for line in lines)
    return service.admin.post(IMPORT, content=body, params=query, headers=ANY)


def states(service: Service) -> dict[str, str]:
    return {each["name"]: each["state"] for each in service.admin.get("/v1/peers").json()["items"]}


def counts(response: httpx.Response) -> dict[str, int]:
    assert response.status_code == 200, response.text
    return {name: count for name, count in response.json()["peers"].items() if count}


def allowed(service: Service) -> list[dict[str, object]]:
    found = service.agent.get("/v1/allowlist").json()["peers"]
    return sorted(({**each, "id": 0} for each in found), key=lambda each: each["name"])


def test_new_ones_are_pending_unless_they_are_approved_with_it(service: Service) -> None:
    service.add_gateway()
    done = send(service, *named("a", "b"))
    assert counts(done) == {"added": 2}
    assert (states(service), service.revision) == ({"a": "pending", "b": "pending"}, 1)
    done = send(service, *named("c", "d", "e"), state="approved")
    assert (done.json()["revision"], service.revision) == (2, 2)
    assert allowed(service) == [
        each | {"id": 0, "valid_from": None, "valid_until": None} for each in named("c", "d", "e")
    ]
    (found,) = [e for e in service.admin.get("/v1/peers").json()["items"] if e["name"] == "c"]
    assert (found["created_by"], found["decided_by"]) == ("admin", "admin")


def test_routers_hear_of_them_in_one_step(service: Service) -> None:
    service.add_gateway()
    send(service, *named("a", "b"), state="approved")
    changes = service.agent.get("/v1/allowlist/changes?after=1").json()
    assert [each["name"] for each in changes["peers"].values()] == ["a", "b"]
    assert changes["revision"] == 2


def test_of_very_many_routers_fetch_a_snapshot(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.registry.allowlist.MOST", 3)
    monkeypatch.setattr("api.registry.core._HELD", 2)
    service.add_gateway()
    assert send(service, *named("a", "b", "c"), state="approved").status_code == 200
    assert service.agent.get("/v1/allowlist/changes?after=1").status_code == 200
    done = send(service, *named("d", "e", "f", "g"), state="approved")
    assert done.json()["revision"] == 3
    gone = service.agent.get("/v1/allowlist/changes?after=2")
    assert (gone.status_code, gone.json()["type"]) == (410, "/problems/snapshot-required")
    assert len(allowed(service)) == 7
    service.add_peer(name="h")
    assert service.agent.get("/v1/allowlist/changes?after=3").json()["revision"] == 4


WRONG = [
    (b"{\n", "", "not JSON: Expecting property name"),
    (b"[]\n", "", "one JSON object"),
    (b"\xff\xfe\n", "", "not JSON in UTF-8"),
    (b"[" * 100_000 + b"\n", "", "reasonable depth"),
    (b'{"a":' * 50_000 + b"\n", "", "reasonable depth"),
    (ndjson(peer(sources=["203.0.113.7/24"])), "sources[0]", "did you mean 203.0.113.0/24?"),
    (ndjson(peer(valid_util=None)), "valid_util", "unknown field"),
    (ndjson(peer(state="asleep")), "state", "a state is one of"),
    (ndjson(peer(state=["pending"])), "state", "a state is one of"),
    (ndjson(peer(gateway="nowhere")), "gateway", "no gateway has this name"),
    (ndjson(peer(name="there")), "name", "peer 1 (pending) at gateway hub has this name"),
    (ndjson(peer(name="first")), "name", "line 1 has a peer of this name at gateway hub"),
]


@pytest.mark.parametrize(("line", "field", "rule"), WRONG, ids=range(len(WRONG)))
def test_one_wrong_line_refuses_the_whole(
    service: Service, line: bytes, field: str, rule: str
) -> None:
    service.add_gateway()
    service.request_peer(name="there")
    before = service.admin.get("/v1/peers").json()
    refused = send(service, *named("first"), b"\n", line, *named("last"), state="approved")
    assert refused.status_code == 422, refused.text
    (error,) = refused.json()["errors"]
    assert (error["line"], error["field"]) == (3, field)
    assert rule in error["rule"]
    assert refused.json()["total"] == 1
    assert (service.admin.get("/v1/peers").json(), service.revision) == (before, 1)
    # And without the line it is taken.
    assert send(service, *named("first"), *named("last"), state="approved").status_code == 200


def test_of_many_wrong_lines_the_first_are_named_and_all_counted(service: Service) -> None:
    service.add_gateway()
    lines = [peer(name=f"p{n}", sources=["203.0.113.7/24", "nowhere"]) for n in range(80)]
    refused = send(service, *lines)
    body = refused.json()
    assert (refused.status_code, body["total"], len(body["errors"])) == (422, 160, 100)
    assert [each["line"] for each in body["errors"][:3]] == [1, 1, 2]
    assert "160 problems in 80 lines, of which the first 100 are named" in body["detail"]


def test_what_is_taken_while_it_is_checked_is_not_overwritten(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry changes between check and write."""
    service.add_gateway()
    monkeypatch.setattr("api.registry.imports.check_new", lambda *_, **__: None)
    service.request_peer(name="b")
    refused = send(service, *named("a", "b"))
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/name-taken")
    refused = send(service, *named("c"), *named("d", gateway="gone"))
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/no-gateway")
    assert list(states(service)) == ["b"]


def test_an_export_is_imported(
    service: Service, start: Callable[[Settings], Service], settings: Settings
) -> None:
    del start, settings
    service.add_gateway()
    service.request_peer(name="pending")
    service.add_peer(name="active", valid_until=text(NOW + WEEK))
    service.add_peer(name="expired", valid_until=text(NOW + timedelta(hours=1)))
    service.act(service.request_peer(name="rejected"), "reject")
    service.act(service.add_peer(name="active-2"), "revoke")
    service.add_peer(name="active-2")
    service.clock.pass_time(timedelta(days=1))
    exported = service.admin.get("/v1/peers/export").content
    before = allowed(service)
    for number in (1, 4):
        assert service.admin.get(f"/v1/peers/{number}").status_code == 200
    service.act(1, "reject")
    for number in (2, 3, 6):
        service.act(number, "revoke")
    assert allowed(service) == []
    done = service.admin.post(IMPORT, content=exported, params={"state": "kept"})
    assert counts(done) == {"added": 4, "ended": 2}
    assert allowed(service) == before
    assert len(service.admin.get("/v1/peers?state=pending").json()["items"]) == 1


def test_replacing_makes_the_approved_ones_match(service: Service) -> None:
    service.add_gateway()
    for name in ("same", "moves", "goes"):
        service.add_peer(name=name)
    for name in ("asked", "waits"):
        service.request_peer(name=name)
    wanted = [
        *named("same", "asked", "new"),
        peer(name="moves", sources=["203.0.113.9"]),
    ]
    dry = send(service, *wanted, mode="replace", dry_run="true")
    expected = {"added": 1, "changed": 1, "approved": 1, "revoked": 1, "unchanged": 1}
    assert counts(dry) == expected
    assert (dry.json()["dry_run"], service.revision) == (True, 4)
    done = service.admin.post(
        IMPORT,
        content=ndjson(*wanted),
        params={"mode": "replace"},
        headers={"If-Match": dry.json()["etag"]},
    )
    assert counts(done) == expected
    assert (done.json()["revision"], service.revision) == (5, 5)
    assert done.headers["ETag"] == service.admin.get("/v1/policy").headers["ETag"]
    assert states(service) == {
        **dict.fromkeys(("same", "moves", "asked", "new"), "active"),
        "goes": "revoked",
        "waits": "pending",
    }
    (moved,) = [e for e in allowed(service) if e["name"] == "moves"]
    assert moved["sources"] == ["203.0.113.9"]
    again = send(service, *wanted, mode="replace")
    assert (counts(again), again.json()["revision"]) == ({"unchanged": 4}, 5)


def test_replacing_is_for_the_state_that_was_read(service: Service) -> None:
    service.add_gateway()
    query = {"mode": "replace"}
    missing = service.admin.post(IMPORT, content=ndjson(peer()), params=query)
    stale = service.admin.post(
        IMPORT, content=ndjson(peer()), params=query, headers={"If-Match": '"77"'}
    )
    assert (missing.status_code, stale.status_code) == (428, 412)
    refused = send(service, peer(), mode="replace", state="pending")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "state")
    refused = send(service, peer(gateway="b"), mode="replace")
    assert (refused.status_code, refused.json()["errors"][0]["line"]) == (422, 1)


def test_who_may_only_ask_does_not_decide(service: Service) -> None:
    service.add_gateway()
    registrar = service.clients[Role.REGISTRAR]
    for query in ({"state": "approved"}, {"state": "kept"}, {"mode": "replace"}):
        refused = registrar.post(IMPORT, content=ndjson(peer()), params=query, headers=ANY)
        assert refused.status_code == 403
    assert registrar.post(IMPORT, content=ndjson(peer())).status_code == 200
    assert states(service) == {"branch-7": "pending"}


def test_the_rules_hold_for_many_too(service: Service) -> None:
    service.add_gateway()
    rules = {"four_eyes": True, "longest_days": 10, "terms": {"version": "v1", "text": "Be good"}}
    assert service.admin.patch("/v1/rules", json=rules, headers=ANY).status_code == 200
    for query in ({"state": "approved"}, {"mode": "replace"}):
        refused = send(service, *named("a"), **query)
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/four-eyes"), query
    refused = send(service, *named("a"))
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["line"], error["field"]) == (422, 1, "terms")
    late = peer(name="b", valid_until=text(NOW + 2 * WEEK))
    refused = send(service, *named("a"), late, terms="v1")
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["line"], error["field"]) == (422, 2, "valid_until")
    assert counts(send(service, *named("a"), terms="v1")) == {"added": 1}
    (found,) = service.admin.get("/v1/peers").json()["items"]
    assert (found["terms"], found["valid_until"]) == ("v1", text(NOW + timedelta(days=10)))


def test_the_same_import_is_carried_out_once(service: Service) -> None:
    service.add_gateway()
    key = {"Idempotency-Key": "once"}
    body = ndjson(*named("a", "b"))
    first, again = (service.admin.post(IMPORT, content=body, headers=key) for _ in range(2))
    assert (first.content, first.status_code) == (again.content, again.status_code)
    assert counts(again) == {"added": 2}
    other = service.admin.post(IMPORT, content=ndjson(*named("c")), headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/key-reused")
    approved = service.admin.post(f"{IMPORT}?state=approved", content=body, headers=key)
    assert approved.status_code == 422
    assert len(states(service)) == 2


def test_whoever_accepts_lines_hears_how_far_it_is(service: Service) -> None:
    service.add_gateway()
    lines = {"Accept": "application/x-ndjson"}
    told = service.admin.post(IMPORT, content=ndjson(*named("a", "b")), headers=lines)
    assert told.headers["Content-Type"] == "application/x-ndjson"
    *steps, last = map(json.loads, told.text.splitlines())
    assert all(set(step) == {"phase", "done", "total"} for step in steps)
    assert last["result"]["peers"]["added"] == 2
    refused = service.admin.post(IMPORT, content=ndjson(*named("a")), headers=lines)
    assert refused.status_code == 200  # it had begun
    problem = json.loads(refused.text.splitlines()[-1])["problem"]
    assert (problem["status"], problem["errors"][0]["line"]) == (422, 1)


def test_an_import_has_limits_of_its_own(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    service = start(replace(settings, max_body=1000, max_import=4000, max_import_peers=3))
    service.add_gateway()
    assert send(service, *named("a", "b", "c", purpose="x" * 400)).status_code == 200
    many = send(service, *named("d", "e", "f", "g"))
    assert (many.status_code, many.json()["type"]) == (422, "/problems/too-many-peers")
    large = send(service, *named("d", "e", "f", purpose="x" * 499), b" " * 3000)
    assert large.status_code == 413
    assert "4000 bytes" in large.json()["detail"]
    assert len(states(service)) == 3


@pytest.mark.parametrize("query", ["", "?mode=replace"])
@pytest.mark.parametrize("body", [b"", b"\n \n"])
def test_nothing_is_not_an_import(service: Service, body: bytes, query: str) -> None:
    service.add_gateway()
    service.add_peer()
    refused = service.admin.post(IMPORT + query, content=body, headers=ANY)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/empty-import")
    assert states(service) == {"branch-7": "active"}


def test_a_line_has_a_limit_too(service: Service) -> None:
    service.add_gateway()
    refused = send(service, peer(), b" " * 600_000)
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["line"]) == (422, 2)
    assert "at most 524288 bytes" in error["rule"]


def test_only_some_are_under_way_at_once(service: Service) -> None:
    service.add_gateway()
    held = [service.app.state.imports.taken() for _ in range(2)]
    for each in held:
        each.__enter__()
    refused = send(service, peer())
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    for each in held:
        each.__exit__(None, None, None)
    for name in "abc":
        assert send(service, *named(name)).status_code == 200


POLICY = "/v1/policy/import"


def policy_lines(*gateways: object, peers: tuple[object, ...] = ()) -> bytes:
    return ndjson(*({"peer": each} for each in peers), *({"gateway": each} for each in gateways))


def test_a_policy_of_lines_does_what_the_document_does(service: Service) -> None:
    service.add_gateway("old", addresses=["198.51.100.7"])
    body = policy_lines(gateway(services=["wireguard", "tcp/22"]), peers=tuple(named("a", "b")))
    dry = service.admin.post(f"{POLICY}?dry_run=true", content=body)
    assert dry.json()["gateways"] == {"added": 1, "changed": 0, "removed": 1}
    done = service.admin.post(POLICY, content=body, headers={"If-Match": dry.json()["etag"]})
    assert done.json()["gateways"] == dry.json()["gateways"]
    assert counts(done) == {"added": 2}
    assert done.json()["warnings"][0].startswith("hub: tcp/22")
    document = service.admin.get("/v1/policy").json()
    assert [each["name"] for each in document["gateways"]] == ["hub"]
    same = service.admin.put("/v1/policy", json=document, headers=ANY).json()
    assert (same["changes"], same["revision"], service.revision) == ([], 2, 2)
    # And the way back.
    changed = policy_lines(gateway(mode="monitor"), peers=tuple(named("b")))
    done = service.admin.post(POLICY, content=changed, headers=ANY)
    assert done.json()["gateways"] == {"added": 0, "changed": 1, "removed": 0}
    assert counts(done) == {"revoked": 1, "unchanged": 1}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (policy_lines(gateway(), gateway(name="b")), "gateways[1].services"),
        (policy_lines(gateway(), peers=(peer(gateway="b"),)), "gateway"),
        (policy_lines(gateway(addresses=["198.51.100.0/23"])), "addresses[0]"),
        (ndjson(peer()), ""),
        (ndjson({"gateway": gateway(), "peer": peer()}), ""),
    ],
)
def test_a_wrong_line_refuses_the_policy(service: Service, body: bytes, field: str) -> None:
    service.add_gateway("old", addresses=["198.51.100.7"])
    refused = service.admin.post(POLICY, content=body, headers=ANY)
    assert refused.status_code == 422
    assert [each["field"] for each in refused.json()["errors"]] == [field]
    assert service.revision == 1


def test_a_gateway_at_which_somebody_waits_stays(service: Service) -> None:
    service.add_gateway()
    service.request_peer()
    other = policy_lines(gateway(name="b", addresses=["198.51.100.2"]))
    refused = service.admin.post(POLICY, content=other, headers=ANY)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/gateway-in-use")
    assert "1 (branch-7 at hub)" in refused.json()["detail"]
