"""Back to an earlier revision: a new one with the old content, or a refusal that says why."""

import gc
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from api.records import Peer
from api.registry import rollback
from api.registry.rollback_plan import Todo
from api.settings import Settings
from tests.api.bodies import NOW, WEEK, gateway, peer, text
from tests.api.conftest import Service
from tests.api.follower import Follower

ANY = {"If-Match": "*"}


def roll_back(service: Service, revision: int, **query: object) -> httpx.Response:
    body = {"to_revision": revision}
    return service.admin.post("/v1/rollback", json=body, params=query, headers=ANY)


def content(service: Service) -> tuple[Any, Any]:
    found = service.admin.get("/v1/allowlist").json()
    return found["gateways"], found["peers"]


def test_the_allowlist_is_as_it_was_under_a_new_revision(service: Service) -> None:
    service.add_gateway("a", routers={"site": "fra"})
    service.add_gateway("b", addresses=["198.51.100.2"])
    kept = service.add_peer(name="kept", gateway="a", valid_until=text(NOW + WEEK))
    revoked = service.add_peer(name="revoked", gateway="b")
    then, before = service.revision, content(service)
    router = Follower(service.agent)
    # All that may happen.
    service.act(revoked, "revoke", {"reason": "closed"})
    service.admin.delete("/v1/gateways/b", headers=ANY)
    service.admin.patch("/v1/gateways/a", json={"mode": "monitor", "routers": {}}, headers=ANY)
    service.admin.patch(f"/v1/peers/{kept}", json={"sources": ["203.0.113.99"]}, headers=ANY)
    service.add_gateway("c", addresses=["198.51.100.3"])
    new = service.add_peer(name="new", gateway="c")
    router.follow()
    head = service.revision

    planned = roll_back(service, then, dry_run=True)
    assert planned.json()["revision"] == service.revision == head
    assert [(c["action"], c["kind"], c["name"]) for c in planned.json()["changes"]] == [
        ("add", "gateway", "b"),
        ("change", "gateway", "a"),
        ("remove", "gateway", "c"),
        ("change", "peer", "kept"),
        ("approve", "peer", "revoked"),
        ("revoke", "peer", "new"),
    ]
    done = roll_back(service, then)
    assert (done.status_code, done.json()["revision"]) == (200, head + 1)
    assert done.json()["changes"] == planned.json()["changes"]
    assert content(service) == before
    router.follow()
    router.check()

    def shown(number: int) -> tuple[str, str | None]:
        found = service.admin.get(f"/v1/peers/{number}").json()
        return found["state"], found["reason"]

    why = f"rollback to revision {then}"
    assert shown(kept) == ("active", None)
    assert shown(revoked) == ("active", why)
    assert shown(new) == ("revoked", why)
    # And on from there, in both directions.
    service.act(revoked, "revoke")
    assert roll_back(service, head).status_code == 200
    assert [each["id"] for each in content(service)[1]] == [kept, new]


def test_nothing_changed_makes_no_revision(service: Service) -> None:
    service.add_gateway()
    done = {"dry_run": False, "revision": 1, "total": 0, "changes": []}
    done |= {"impact": None, "impact_on_rest": None}
    assert roll_back(service, 1).json() == done


def test_whoever_goes_back_has_seen_what_that_changes(service: Service) -> None:
    service.add_gateway()
    service.add_peer()
    body = {"to_revision": 1}
    assert service.admin.post("/v1/rollback", json=body).status_code == 428
    planned = service.admin.post("/v1/rollback", json=body, params={"dry_run": True})
    service.add_peer(name="later")
    stale = {"If-Match": planned.headers["ETag"]}
    for query in ({"dry_run": True}, {}):
        refused = service.admin.post("/v1/rollback", json=body, headers=stale, params=query)
        assert refused.status_code == 412


def test_a_revision_that_is_not_kept_is_refused(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    service = start(replace(settings, kept_revisions=3))
    for number in range(5):
        service.add_gateway(f"g-{number}", addresses=[f"198.51.100.{number}"])
    refused = roll_back(service, 1)
    assert (refused.status_code, refused.json()["type"]) == (410, "/problems/revision-not-kept")
    assert "the oldest to go back to is 2" in refused.json()["detail"]
    listed = service.admin.get("/v1/revisions").json()["items"]
    assert [(each["revision"], each["kept"]) for each in listed] == [
        *((5, True), (4, True), (3, True), (2, True), (1, False)),
    ]
    assert listed[0]["cause"] == "gateway g-4 added"
    first = service.admin.get("/v1/revisions", params={"limit": 2}).json()
    second = service.admin.get("/v1/revisions", params={"cursor": first["next"]}).json()
    assert [each["revision"] for each in second["items"]] == [3, 2, 1]
    assert roll_back(service, 6).status_code == 422
    assert roll_back(service, 2).status_code == 200


def test_a_pending_peer_keeps_its_gateway_and_its_name(service: Service) -> None:
    """Somebody waits for an answer."""
    service.add_gateway()
    first = service.add_peer()
    with_peer = service.revision
    service.act(first, "revoke")
    again = service.request_peer()
    before, head = content(service), service.revision
    refused = roll_back(service, with_peer)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/name-taken")
    assert f"peer {again} (pending) has the name" in refused.json()["detail"]
    assert roll_back(service, 0).json()["type"] == "/problems/gateway-in-use"
    assert (content(service), service.revision) == (before, head)
    service.act(again, "reject")
    assert roll_back(service, with_peer).status_code == 200


def test_a_gateway_of_the_same_name_gives_way_to_the_one_before(service: Service) -> None:
    service.add_gateway()
    old = service.add_peer()
    then, before = service.revision, content(service)
    etag = service.admin.get("/v1/gateways/hub").headers["ETag"]
    service.act(old, "revoke")
    service.admin.delete("/v1/gateways/hub", headers=ANY)
    service.admin.post("/v1/gateways", json=gateway(addresses=["198.51.100.77"]))
    service.add_peer(name="of-the-new-one")
    assert roll_back(service, then).status_code == 200
    assert content(service) == before
    assert service.admin.get("/v1/gateways/hub").headers["ETag"] != etag
    # Its own peers are at it again.
    service.act(old, "revoke")
    assert service.admin.delete("/v1/gateways/hub", headers=ANY).status_code == 204


def test_what_an_owner_moves_stays_where_it_is(service: Service) -> None:
    """A site set back to its address of then would be cut off, and somebody else let in."""
    service.add_gateway()
    site = service.add_peer(name="site", bounds={"interval_seconds": 3600}, purpose="One")
    gone = service.add_peer(name="gone", sources=["203.0.113.8"])
    then = service.revision
    service.act(gone, "revoke")
    service.admin.patch(f"/v1/peers/{site}", json={"purpose": "Two"}, headers=ANY)
    owner = service.owner(site, "203.0.113.99")
    assert owner.post(f"/v1/peers/{site}/here").status_code == 200
    moved = service.admin.get(f"/v1/peers/{site}").json()
    assert moved["sources"] == ["203.0.113.7", "203.0.113.99"]
    planned = roll_back(service, then, dry_run=True).json()["changes"]
    assert [(c["name"], list(c["fields"])) for c in planned if c["name"] == "site"] == [
        ("site", ["purpose"])
    ]
    assert roll_back(service, then).status_code == 200
    back = service.admin.get(f"/v1/peers/{site}").json()
    assert back["purpose"] == "One"
    same = ("sources", "here", "moved", "bounds")
    assert {name: back[name] for name in same} == {name: moved[name] for name in same}
    assert owner.post(f"/v1/peers/{site}/here").status_code == 200
    # Where nothing but moves was made since, there is nothing to take back.
    then = service.revision
    service.clock.pass_time(WEEK)
    assert service.owner(site, "203.0.113.77").post(f"/v1/peers/{site}/here").is_success
    assert roll_back(service, then).json()["changes"] == []


def test_an_abort_takes_back_an_approvers_change_of_an_owners_sources(service: Service) -> None:
    """Moves are out already: what waits is somebody else's."""
    service.add_gateway()
    site = service.add_peer(name="site", bounds={"interval_seconds": 0})
    rule = {"canaries": {"stage": "canary"}, "hold": None}
    assert service.admin.put("/v1/rollout", json=rule, headers=ANY).is_success
    changed = {"sources": ["192.0.2.0/28"]}
    assert service.admin.patch(f"/v1/peers/{site}", json=changed, headers=ANY).is_success
    assert service.admin.post("/v1/rollout/abort").is_success
    assert service.admin.get(f"/v1/peers/{site}").json()["sources"] == ["203.0.113.7"]
    assert service.owner(site, "203.0.113.99").post(f"/v1/peers/{site}/here").is_success
    service.admin.patch(f"/v1/peers/{site}", json={"purpose": "Other"}, headers=ANY)
    assert service.admin.post("/v1/rollout/abort").is_success
    moved = service.admin.get(f"/v1/peers/{site}").json()["sources"]
    assert moved == ["203.0.113.7", "203.0.113.99"]


def test_a_proposal_stays_as_it_is_now(service: Service) -> None:
    service.add_gateway()
    number = service.add_peer()
    path = f"/v1/peers/{number}"
    body = {"sources": ["203.0.113.50"], "reason": "A second line"}
    assert service.admin.post(f"{path}/propose", json=body, headers=ANY).is_success
    then = service.revision
    service.admin.patch(path, json={"purpose": "Other"}, headers=ANY)
    declined = {"reason": "Not needed"}
    assert service.admin.post(f"{path}/decline", json=declined, headers=ANY).is_success
    assert roll_back(service, then).status_code == 200
    assert service.admin.get(path).json()["proposal"]["declined"] == "Not needed"
    refused = service.admin.post(f"{path}/grant", headers=ANY)
    assert refused.json()["type"] == "/problems/nothing-proposed"


def test_of_many_changes_the_first_are_shown(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are written some at a time, and a name may go from one to the next."""
    monkeypatch.setattr("api.registry.rollback_plan._AT_ONCE", 2)
    monkeypatch.setattr("api.routes.revision_models._SHOWN", 3)
    service.add_gateway()
    old = [service.add_peer(name=f"old-{n}", sources=[f"203.0.113.{n}"]) for n in range(5)]
    then, before = service.revision, content(service)
    for number in old[:3]:
        service.act(number, "revoke")
    for number, name in ((old[4], "freed"), (old[3], "old-4")):
        service.admin.patch(f"/v1/peers/{number}", json={"name": name}, headers=ANY)
    new = [service.add_peer(name=f"new-{n}", sources=[f"203.0.113.9{n}"]) for n in range(5)]
    planned = roll_back(service, then, dry_run=True).json()
    assert (planned["total"], len(planned["changes"])) == (10, 3)
    done = roll_back(service, then)
    assert done.json() == planned | {
        "dry_run": False,
        "revision": service.revision,
        "impact": None,
    }
    assert content(service) == before
    assert all(service.admin.get(f"/v1/peers/{n}").json()["state"] == "revoked" for n in new)
    # One whose name somebody else waits for is refused, and nothing is written.
    service.act(old[1], "revoke")
    waiting = service.request_peer(name="old-1")
    refused = roll_back(service, then)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/name-taken")
    assert f"peer {waiting} (pending)" in refused.json()["detail"]


def test_of_very_many_peers_few_are_in_memory(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.registry.rollback_plan._AT_ONCE", 50)
    service.add_gateway()
    then = service.revision
    many = [peer(name=f"p-{n}", sources=[f"2001:db8:{n:x}::/48"]) for n in range(700)]
    body = "".join(json.dumps(each) + "\n" for each in many)
    query = {"state": "approved"}
    assert service.admin.post("/v1/peers/import", params=query, content=body).is_success

    def held() -> int:
        gc.collect()
        return sum(isinstance(each, Peer) for each in gc.get_objects())

    before = held()
    with service.app.state.registry.read() as read:
        plan = rollback.plan(read, then)
        assert (plan.count, len(plan.differences)) == (700, 700)
        assert held() - before < 10
        for some in plan.peers(Todo.REVOKE):
            assert len(some) == 50
            assert held() - before < 110
    assert roll_back(service, then).json()["total"] == 700
    assert content(service)[1] == []


def test_a_rollback_that_is_sent_twice_is_one(service: Service) -> None:
    service.add_gateway()
    service.add_peer()
    headers = ANY | {"Idempotency-Key": "k"}

    def ask(**query: object) -> httpx.Response:
        body = {"to_revision": 1}
        return service.admin.post("/v1/rollback", json=body, params=query, headers=headers)

    first = ask()
    made = service.revision
    service.add_peer(name="later")
    again = ask()
    assert (again.json(), again.headers["ETag"]) == (first.json(), first.headers["ETag"])
    assert again.json()["revision"] == made
    assert service.revision > made
    assert ask(urgent=True).json()["type"] == "/problems/key-reused"
    # The version that it was answered with is the one there is then.
    seen = {"If-Match": roll_back(service, made).headers["ETag"]}
    document = {"gateways": [gateway()], "peers": []}
    assert service.admin.put("/v1/policy", json=document, headers=seen).is_success
