"""Peers' names that moved on, and what becomes of them on the way back."""

from typing import Any

import httpx
import pytest

from tests.api.conftest import Service
from tests.api.follower import Follower
from tests.api.test_events import told
from tests.api.test_rollback import ANY, content, roll_back

# Who is renamed to what, one after the other; at the start peer n has the n-th letter.
MOVES = {
    "a chain": [(2, "z"), (1, "b")],
    "a chain by way of the later one": [(1, "z"), (2, "a"), (3, "b")],
    "a swap": [(1, "z"), (2, "a"), (1, "b")],
    "a cycle of three": [(1, "z"), (2, "a"), (3, "b"), (1, "c")],
    "a cycle, and a chain into it": [(1, "z"), (2, "a"), (1, "b"), (3, "y"), (4, "c")],
}
moved = pytest.mark.parametrize("moves", MOVES.values(), ids=MOVES)


@pytest.fixture
def named(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Peers a, b, c and d, of whom two at a time are written."""
    monkeypatch.setattr("api.registry.rollback_plan._AT_ONCE", 2)
    service.add_gateway()
    for number, name in enumerate("abcd", 1):
        assert service.add_peer(name=name, sources=[f"203.0.113.{number}"]) == number
    return service


def move(service: Service, moves: list[tuple[int, str]]) -> None:
    for number, name in moves:
        done = service.admin.patch(f"/v1/peers/{number}", json={"name": name}, headers=ANY)
        assert done.status_code == 200, done.text


def names(service: Service) -> dict[int, str]:
    return {each["id"]: each["name"] for each in content(service)[1]}


def records(service: Service) -> list[dict[str, Any]]:
    found = service.admin.get("/v1/audit", params={"action": "peer.change"}).json()["items"]
    assert isinstance(found, list)
    return found


@moved
def test_they_all_go_back(named: Service, moves: list[tuple[int, str]]) -> None:
    then, before = named.revision, content(named)
    move(named, moves)
    router = Follower(named.agent)
    router.follow()
    was, head, recorded, heard = names(named), named.revision, len(records(named)), len(told(named))
    planned = roll_back(named, then, dry_run=True)
    assert planned.status_code == 200, planned.text
    done = roll_back(named, then)
    assert done.status_code == 200, done.text
    assert done.json()["changes"] == planned.json()["changes"]
    assert (content(named), named.revision) == (before, head + 1)
    router.follow()
    router.check()
    # What is told of each is its name then and now, and no other one.
    back = {number: name for number, name in was.items() if name != "abcd"[number - 1]}
    fresh = [r for r in records(named) if r["subject"] != "registry"]
    fresh = fresh[: len(fresh) - recorded]
    assert {
        int(r["subject"].removeprefix("peer/")): (r["before"]["name"], r["after"]["name"])
        for r in fresh
    } == {number: (name, "abcd"[number - 1]) for number, name in back.items()}
    assert "~" not in str([*fresh, *told(named)[heard:]])
    # And on from there, in both directions.
    assert roll_back(named, head).status_code == 200
    assert names(named) == was


@moved
def test_an_abort_takes_them_back(named: Service, moves: list[tuple[int, str]]) -> None:
    stage(named)
    before = content(named)
    move(named, moves)
    assert abort(named, dry_run=True).status_code == 200
    done = named.admin.post("/v1/rollout/abort")
    assert done.status_code == 200, done.text
    assert content(named) == before


def test_one_that_was_revoked_is_back_under_a_name_that_went_on(named: Service) -> None:
    then, before = named.revision, content(named)
    named.act(1, "revoke")
    move(named, [(2, "a"), (3, "b")])
    new = named.add_peer(name="c", sources=["203.0.113.9"])
    assert roll_back(named, then, dry_run=True).status_code == 200
    assert roll_back(named, then).status_code == 200
    assert content(named) == before
    assert named.admin.get(f"/v1/peers/{new}").json()["state"] == "revoked"


def stage(service: Service) -> None:
    rule = {"canaries": {"stage": "canary"}, "hold": None}
    assert service.admin.put("/v1/rollout", json=rule, headers=ANY).is_success


def abort(service: Service, *, dry_run: bool) -> httpx.Response:
    return service.admin.post("/v1/rollout/abort", params={"dry_run": dry_run})


def back(service: Service, then: int, *, staged: bool) -> tuple[httpx.Response, httpx.Response]:
    """As a dry run says it, and done."""
    if staged:
        return abort(service, dry_run=True), abort(service, dry_run=False)
    return roll_back(service, then, dry_run=True), roll_back(service, then)


@pytest.mark.parametrize("staged", [False, True], ids=["rollback", "abort"])
def test_a_name_is_refused_whose_holder_stays(named: Service, *, staged: bool) -> None:
    """And a dry run says so."""
    if staged:
        stage(named)
    then = named.revision
    move(named, [(1, "z"), (2, "a")])
    waiting = named.request_peer(name="b", sources=["203.0.113.9"])
    before, head = content(named), named.revision
    for refused in back(named, then, staged=staged):
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/name-taken")
        assert refused.json()["detail"] == (
            f"peer {waiting} (pending) has the name 'b', which peer 2 at gateway 'hub' would have "
            "again: reject it first, or give it another name"
        )
    assert (content(named), named.revision) == (before, head)
    move(named, [(waiting, "y")])
    assert [each.status_code for each in back(named, then, staged=staged)] == [200, 200]
    assert names(named) == dict(enumerate("abcd", 1))


def test_nor_does_one_come_back_whose_name_somebody_waits_with(named: Service) -> None:
    stage(named)
    named.act(3, "revoke")
    waiting = named.request_peer(name="c", sources=["203.0.113.9"])
    for dry_run in (True, False):
        refused = abort(named, dry_run=dry_run)
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/name-taken")
        assert f"peer {waiting} (pending) has the name 'c'" in refused.json()["detail"]
    named.act(waiting, "reject")
    assert [abort(named, dry_run=dry_run).status_code for dry_run in (True, False)] == [200, 200]
    assert names(named) == dict(enumerate("abcd", 1))


@pytest.mark.parametrize("staged", [False, True], ids=["rollback", "abort"])
def test_a_dry_run_says_whose_gateway_somebody_waits_at(named: Service, *, staged: bool) -> None:
    if staged:
        stage(named)
    then = named.revision
    named.add_gateway("new", addresses=["198.51.100.2"])
    named.add_peer(name="e", gateway="new")
    waiting = named.request_peer(name="f", gateway="new")
    for refused in back(named, then, staged=staged):
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/gateway-in-use")
        assert "gateway 'new' has 1 peers" in refused.json()["detail"]
    named.act(waiting, "reject")
    assert [each.status_code for each in back(named, then, staged=staged)] == [200, 200]


def test_of_parts_of_two_states_a_name_may_be_there_twice(named: Service) -> None:
    """The rest was never without `a`, and got another one past what waits."""
    stage(named)
    move(named, [(1, "z")])
    for number in (5, 6, 7):  # so that the two are not read together
        named.add_peer(name=f"p{number}", sources=[f"203.0.113.{number}"])
    other = named.request_peer(name="a", sources=["203.0.113.9"])
    urgent = {"urgent": True}
    done = named.admin.post(f"/v1/peers/{other}/approve", params=urgent, headers=ANY)
    assert done.status_code == 200, done.text
    move(named, [(other, "y")])
    before = content(named)
    for dry_run in (True, False):
        refused = abort(named, dry_run=dry_run)
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/name-taken")
        assert "peers 1 and 8 would both have the name 'a'" in refused.json()["detail"]
    assert content(named) == before
    done = named.admin.post(
        f"/v1/peers/{other}/revoke", params=urgent, json={"reason": "gone"}, headers=ANY
    )
    assert done.status_code == 200, done.text
    assert [abort(named, dry_run=dry_run).status_code for dry_run in (True, False)] == [200, 200]
    assert names(named) == dict(enumerate("abcd", 1))
