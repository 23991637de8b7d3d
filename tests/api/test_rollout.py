"""Canaries first: what the rest has is what was released, and the urgent."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from api.settings import Settings
from tests.api.bodies import report, text
from tests.api.client import Client
from tests.api.conftest import Service, on_sqlite
from tests.api.follower import Follower
from tests.api.streams import parsed

ANY = {"If-Match": "*"}
HOUR = timedelta(hours=1)


@dataclass(slots=True)
class Staged:
    """A registry with a canary and one of the rest, which follow."""

    service: Service
    canary_client: Client
    canary: Follower
    rest: Follower

    def follow(self) -> tuple[set[int], set[int]]:
        """The peers that each has then."""
        for follower in (self.canary, self.rest):
            follower.follow()
            follower.check()
        return set(self.canary.peers), set(self.rest.peers)

    def agree(self) -> bool:
        """Whether changes have come to where snapshots are: what another process wrote may be
        in one of them before it is in the other, for a quarter of a second."""
        return all(
            follower.follow()["revision"] == follower.snapshot()["revision"]
            for follower in (self.canary, self.rest)
        )

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.service.admin.get("/v1/rollout").json()
        return found

    def report(self, revision: int, **fields: object) -> None:
        report_as(self.service, self.canary_client, "canary-1", revision, **fields)

    def confirm(self, revision: int) -> int:
        body = {"revision": revision}
        return self.service.admin.post("/v1/rollout/confirm", json=body).status_code


def report_as(service: Service, client: Client, name: str, revision: int, **fields: object) -> None:
    registry = service.admin.get("/v1/status").json()["registry"]
    body = report(registry, revision, **fields)
    done = client.put(f"/v1/routers/{name}/report", json=body)
    assert done.status_code == 204, done.text


def set_rule(service: Service, hold: int | None = None) -> None:
    rule = {"canaries": {"stage": "canary"}, "hold": hold}
    done = service.admin.put("/v1/rollout", json=rule, headers=ANY)
    assert done.status_code == 200, done.text


def stage(service: Service, hold: int | None = None) -> Staged:
    service.add_gateway()
    service.add_peer(name="first")
    set_rule(service, hold)
    canary = service.add_router("canary-1", stage="canary")
    rest = service.add_router("edge-2")
    return Staged(service, canary, Follower(canary), Follower(rest))


@pytest.fixture
def staged(service: Service) -> Staged:
    return stage(service)


def test_without_a_rule_all_have_everything(service: Service) -> None:
    shown = service.admin.get("/v1/rollout")
    assert (shown.json()["canaries"], shown.headers["ETag"]) == (None, '"0"')
    for action, body in (("confirm", {"revision": 0}), ("abort", None)):
        refused = service.admin.post(f"/v1/rollout/{action}", json=body)
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/no-rollout")


def test_a_change_is_with_the_canaries_until_it_is_confirmed(staged: Staged) -> None:
    service = staged.service
    second = service.add_peer(name="second")
    made = service.revision
    assert staged.follow() == ({1, second}, {1})
    status = staged.status()
    assert [each["revision"] for each in status["pending"]] == [made]
    assert (status["due"], status["routers"][0]["name"]) == (None, "canary-1")
    assert service.admin.get("/v1/routers/edge-2").json()["stage"] == "rest"
    service.clock.pass_time(timedelta(days=9))
    assert staged.follow() == ({1, second}, {1})
    third = service.add_peer(name="third")
    assert staged.confirm(made) == 200
    assert staged.follow() == ({1, second, third}, {1, second})
    assert staged.confirm(service.revision) == 200
    assert staged.follow() == ({1, second, third}, {1, second, third})
    assert staged.status()["pending"] == []
    assert staged.confirm(service.revision) == 409


@on_sqlite
def test_very_much_that_waits_sends_only_those_to_a_snapshot_who_get_it(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = staged.service
    for number in range(3):
        service.add_peer(name=f"later-{number}")
    monkeypatch.setattr("api.registry.allowlist.MOST", 2)
    for client, status in ((staged.canary_client, 410), (staged.rest.client, 200)):
        asked = client.get(f"/v1/allowlist/changes?after={staged.rest.revision}")
        assert asked.status_code == status
    revoked = {"params": {"urgent": True}, "json": {"reason": "stolen"}, "headers": ANY}
    assert service.admin.post("/v1/peers/1/revoke", **revoked).status_code == 200
    assert staged.rest.follow()["peers"] == {"1": None}
    staged.rest.check()
    assert staged.confirm(service.revision) == 200
    asked = staged.rest.client.get(f"/v1/allowlist/changes?after={staged.rest.revision}")
    assert asked.status_code == 410


def test_a_confirmation_takes_nothing_back_that_was_released(staged: Staged) -> None:
    """Of two who confirm, one has seen an older revision."""
    service = staged.service
    seen = service.revision
    second = service.add_peer(name="second")
    assert staged.confirm(service.revision) == 200
    released = staged.status()["released"]
    service.add_peer(name="third")
    for older in (0, seen, released - 1, released):
        assert staged.confirm(older) == 409
    assert staged.status()["released"] == released
    assert staged.follow()[1] == {1, second}


def test_an_abort_takes_the_canaries_back(staged: Staged) -> None:
    service = staged.service
    service.add_peer(name="second")
    service.admin.patch("/v1/gateways/hub", json={"mode": "monitor"}, headers=ANY)
    service.act(1, "revoke")
    assert staged.follow() == ({2}, {1})
    aborted = service.admin.post("/v1/rollout/abort")
    assert (aborted.status_code, aborted.json()["revision"]) == (200, service.revision)
    assert staged.follow() == ({1}, {1})
    assert staged.canary.gateways == staged.rest.gateways
    assert staged.canary.gateways["hub"]["mode"] == "enforce"
    assert staged.status()["pending"] == []
    assert service.admin.post("/v1/rollout/abort").status_code == 409


def test_an_urgent_change_goes_past_what_waits(staged: Staged) -> None:
    service = staged.service
    service.add_peer(name="second")
    waits = service.revision
    for _ in range(2):  # sent again with its key, it is the same change
        done = service.admin.post(
            "/v1/peers/1/revoke",
            params={"urgent": True},
            json={"reason": "stolen"},
            headers={**ANY, "Idempotency-Key": "stolen"},
        )
        assert done.status_code == 200
    assert staged.follow() == ({2}, set())
    assert [each["revision"] for each in staged.status()["pending"]] == [waits]
    (latest, *_) = service.admin.get("/v1/revisions").json()["items"]
    assert latest["cause"] == "peer 1 revoked (urgent)"
    skipped = service.admin.get("/v1/audit", params={"action": "rollout.skip"}).json()["items"]
    assert len(skipped) == 1
    # An abort leaves it in force.
    assert service.admin.post("/v1/rollout/abort").status_code == 200
    assert staged.follow() == (set(), set())
    # One at a gateway that is not released reaches those who have the gateway alone.
    service.add_gateway("new", addresses=["198.51.100.9"])
    number = service.request_peer(name="third", gateway="new")
    service.admin.post(f"/v1/peers/{number}/approve", params={"urgent": True}, headers=ANY)
    assert staged.follow() == ({number}, set())
    assert staged.confirm(service.revision) == 200
    assert staged.follow() == ({number}, {number})


def test_an_owners_move_takes_no_peer_past_the_canaries(staged: Staged) -> None:
    service = staged.service
    bounds = {"interval_seconds": 0}
    second = service.add_peer(name="second", bounds=bounds)
    waits = service.revision
    owner = service.owner(second)
    assert owner.post(f"/v1/peers/{second}/here").is_success
    assert staged.follow() == ({1, second}, {1})
    assert staged.canary.peers[second]["sources"] == ["203.0.113.7", "203.0.113.99"]
    pending = [each["revision"] for each in staged.status()["pending"]]
    assert pending == [waits, service.revision]
    assert staged.confirm(waits) == 200
    assert staged.rest.peers == {1: staged.rest.peers[1]}
    staged.follow()
    assert staged.rest.peers[second]["sources"] == ["203.0.113.7"]
    # One that is let in everywhere moves everywhere.
    body = {"sources": ["203.0.113.50"]}
    assert owner.put(f"/v1/peers/{second}/sources", json=body, headers=ANY).is_success
    staged.follow()
    assert staged.rest.peers[second]["sources"] == ["203.0.113.50"]


def test_a_rollback_is_staged_unless_it_is_urgent(staged: Staged) -> None:
    service = staged.service
    before = service.revision
    second = service.add_peer(name="second")
    staged.confirm(service.revision)
    body = {"to_revision": before}
    assert service.admin.post("/v1/rollback", json=body, headers=ANY).status_code == 200
    assert staged.follow() == ({1}, {1, second})
    staged.confirm(service.revision)
    assert staged.follow() == ({1}, {1})
    service.add_peer(name="third")
    urgent = service.admin.post("/v1/rollback", json=body, params={"urgent": True}, headers=ANY)
    assert urgent.status_code == 200
    assert staged.follow() == ({1}, {1})
    assert staged.status()["pending"] == []


def test_the_end_of_it_releases_what_waits(staged: Staged) -> None:
    service = staged.service
    second = service.add_peer(name="second")
    etag = service.admin.get("/v1/rollout").headers["ETag"]
    assert service.admin.delete("/v1/rollout").status_code == 428
    assert service.admin.delete("/v1/rollout", headers={"If-Match": etag}).status_code == 204
    assert staged.follow() == ({1, second}, {1, second})


def test_a_router_that_changes_its_stage_gets_what_is_of_that_stage(staged: Staged) -> None:
    service = staged.service
    second = service.add_peer(name="second")
    staged.follow()
    labels: dict[str, str]
    for labels, expected in (({"stage": "canary"}, {1, second}), ({}, {1})):
        service.admin.patch("/v1/routers/edge-2", json={"labels": labels}, headers=ANY)
        assert staged.follow()[1] == expected


def eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_after_its_time_it_goes_on_if_the_canaries_bear_it(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    quick = replace(settings, poll_seconds=0.05)
    staged = stage(start(quick), hold=3600)
    service = staged.service
    another = start(quick)  # a second process, whose clock is the same
    another.clock.now = service.clock.now
    second = service.add_peer(name="second")
    made = service.revision
    due = staged.status()["due"]
    assert due == (service.clock.now + HOUR).isoformat().replace("+00:00", "Z")
    for moving in (service, another):
        moving.clock.pass_time(HOUR + timedelta(seconds=1))
    assert staged.status()["stopped"] == f"no canary has revision {made} in force"
    staged.report(made, held="would cut off 300 of 900 sources")
    assert staged.status()["stopped"].startswith("canary canary-1 holds back a change")
    assert staged.follow() == ({1, second}, {1})
    staged.report(made)
    assert eventually(lambda: staged.status()["pending"] == [])
    query = {"follow": False, "after": 0, "types": "rollout.released"}
    (told,) = parsed(service.admin.get("/v1/events", params=query).text.splitlines())
    assert (told["author"], told["content"]["hold"]) == ("peergate", 3600)
    assert eventually(staged.agree)
    assert staged.follow() == ({1, second}, {1, second})
    # One revision for it, whichever process was first.
    causes = [each["cause"] for each in service.admin.get("/v1/revisions").json()["items"]]
    assert causes.count("released after its time with the canaries") == 1


def test_it_does_not_go_on_by_itself_where_a_canary_is_silent_or_lacks_it(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    staged = stage(start(replace(settings, poll_seconds=0.05)), hold=3600)
    service = staged.service
    # A canary that never reported does not count.
    service.add_router("canary-0", stage="canary")
    other = service.add_router("canary-2", stage="canary")
    service.add_peer(name="second")
    made = service.revision
    report_as(service, other, "canary-2", made - 1)
    staged.report(made)
    received = text(service.clock.now)
    assert staged.status()["stopped"] == f"canary canary-2 does not have revision {made} in force"
    report_as(service, other, "canary-2", made)
    assert staged.status()["stopped"] is None
    # Both have it in force, and then nobody hears of them any more.
    service.clock.pass_time(2 * HOUR)
    assert staged.status()["stopped"] == f"canary canary-1 is silent since {received}"
    time.sleep(0.3)  # some rounds of what releases
    assert staged.follow()[1] == {1}
    staged.report(made)
    assert staged.status()["stopped"] == f"canary canary-2 is silent since {received}"
    report_as(service, other, "canary-2", made)
    assert eventually(lambda: staged.status()["pending"] == [])


def test_a_lifted_registry_releases_nothing_by_that(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    staged = stage(start(replace(settings, poll_seconds=0.05)), hold=3600)
    service = staged.service
    second = service.add_peer(name="second")
    waits = service.revision
    staged.report(41, word=service.word(41))
    assert service.revision == 42
    assert [each["revision"] for each in staged.status()["pending"]] == [waits]
    for follower in (staged.canary, staged.rest):
        follower.start()
    assert staged.follow() == ({1, second}, {1})
    # What a canary had before is of a history that the registry has lost.
    service.clock.pass_time(2 * HOUR)
    staged.report(41)
    stopped = "canary canary-1 does not have revision 42 in force"
    assert staged.status()["stopped"] == stopped
    time.sleep(0.3)  # some rounds of what releases
    assert staged.follow()[1] == {1}
    # What was before can still be gone back to, but nothing in the gap.
    body = {"to_revision": 41}
    refused = service.admin.post("/v1/rollback", json=body, headers=ANY)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "to_revision")
    assert service.admin.post("/v1/rollout/abort").is_success
    assert staged.follow() == ({1}, {1})
    staged.report(service.revision)


def test_what_waits_outlives_the_kept_revisions_and_a_restart(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    few = replace(settings, kept_revisions=3)
    staged = stage(start(few))
    for number in range(6):
        staged.service.add_peer(name=f"later-{number}")
    again = start(few)
    rest = Follower(again.nobody.with_token(staged.rest.client.token))
    assert set(rest.peers) == {1}
    staged.rest.follow()
    staged.rest.check()


def test_a_router_that_held_what_is_forgotten_fetches_a_snapshot(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    """Its revision is kept, but what it held there was released long before."""
    staged = stage(start(replace(settings, kept_revisions=3)))
    for number in range(6):
        staged.service.add_peer(name=f"later-{number}")
    staged.rest.follow()
    assert staged.confirm(staged.service.revision) == 200
    asked = {"after": staged.rest.revision}
    refused = staged.rest.client.get("/v1/allowlist/changes", params=asked)
    assert (refused.status_code, refused.json()["type"]) == (410, "/problems/snapshot-required")
    staged.rest.start()
    assert len(staged.rest.peers) == 7
    # The canary held all that it was asked about.
    staged.canary.revision = asked["after"]
    assert staged.canary.client.get("/v1/allowlist/changes", params=asked).status_code == 200


def test_a_rule_needs_a_label_and_the_version_that_was_seen(service: Service) -> None:
    rule: dict[str, Any] = {"canaries": {}, "hold": None}
    assert service.admin.put("/v1/rollout", json=rule, headers=ANY).status_code == 422
    etag = service.admin.get("/v1/rollout").headers["ETag"]
    rule = {"canaries": {"stage": "canary"}, "hold": None}
    first = service.admin.put("/v1/rollout", json=rule, headers={"If-Match": etag})
    assert first.status_code == 200
    stale = service.admin.put("/v1/rollout", json=rule, headers={"If-Match": etag})
    assert stale.status_code == 412
