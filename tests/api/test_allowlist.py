"""Snapshot and changes: always the same truth, and never a gap that a router could miss."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api.bootstrap import lift
from api.database import open_store
from api.errors import SettingsError
from api.registry.upkeep import upkeep
from api.settings import Settings
from tests.api.bodies import NOW, WEEK, report, text
from tests.api.conftest import Service


def snapshot(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.agent.get("/v1/allowlist").json()
    return found


def changes(service: Service, after: int) -> dict[str, Any]:
    response = service.agent.get("/v1/allowlist/changes", params={"after": after})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def rows_of(settings: Settings, query: str) -> list[tuple[object, ...]]:
    store = open_store(settings)
    with store.read() as connection:
        rows = [tuple(row) for row in connection.exec_driver_sql(query)]
    store.close()
    return rows


def test_an_empty_registry_is_at_revision_zero(service: Service) -> None:
    found = snapshot(service)
    assert (found["revision"], found["gateways"], found["peers"]) == (0, [], [])
    assert found["time"] == text(NOW)
    assert changes(service, 0) == {
        "registry": found["registry"],
        "after": 0,
        "revision": 0,
        "time": text(NOW),
        "gateways": {},
        "peers": {},
    }


def test_changes_are_coalesced_to_the_newest_state(service: Service) -> None:
    service.add_gateway()
    start = service.revision
    stays, goes = service.add_peer(name="stays"), service.add_peer(name="goes")
    service.act(goes, "revoke")
    service.act(stays, "renew", {"valid_until": text(NOW + WEEK)})
    found = changes(service, start)
    assert (found["after"], found["revision"]) == (start, start + 4)
    assert found["gateways"] == {}
    assert found["peers"] == {
        str(stays): {
            "id": stays,
            "name": "stays",
            "gateway": "hub",
            "owner": "Branch networks",
            "contact": "netops@example.net",
            "purpose": "Site-to-site tunnel of branch 7",
            "sources": ["203.0.113.7"],
            "valid_from": None,
            "valid_until": text(NOW + WEEK),
        },
        str(goes): None,
    }


def test_a_removed_gateway_is_null(service: Service) -> None:
    service.add_gateway()
    start = service.revision
    service.admin.delete("/v1/gateways/hub", headers={"If-Match": "*"})
    assert changes(service, start)["gateways"] == {"hub": None}


def test_snapshot_and_changes_agree_at_every_step(service: Service) -> None:
    """A follower that applies changes holds what a snapshot says, whenever it looks."""
    held = snapshot(service)
    gateways = {each["name"]: each for each in held["gateways"]}
    peers = {str(each["id"]): each for each in held["peers"]}
    revision = held["revision"]
    steps: list[Callable[[], object]] = [
        lambda: service.add_gateway("a", addresses=["198.51.100.1"]),
        lambda: service.add_gateway("b", addresses=["198.51.100.2"]),
        lambda: service.add_peer(name="one", gateway="a"),
        lambda: service.request_peer(name="two", gateway="b"),
        lambda: service.act(2, "approve"),
        lambda: service.act(1, "revoke"),
        lambda: service.admin.delete("/v1/gateways/a", headers={"If-Match": "*"}),
        lambda: service.admin.put(
            "/v1/policy", json={"gateways": [], "peers": []}, headers={"If-Match": "*"}
        ),
    ]
    for step in steps:
        step()
        found = changes(service, revision)
        revision = found["revision"]
        for held_parts, changed in ((gateways, found["gateways"]), (peers, found["peers"])):
            for key, value in changed.items():
                held_parts.pop(key, None)
                if value is not None:
                    held_parts[key] = value
        whole = snapshot(service)
        assert revision == whole["revision"]
        assert gateways == {each["name"]: each for each in whole["gateways"]}
        assert peers == {str(each["id"]): each for each in whole["peers"]}
    assert (gateways, peers) == ({}, {})


def test_one_row_stands_for_each_revision(service: Service, settings: Settings) -> None:
    service.add_gateway()
    service.add_peer()
    rows = rows_of(settings, "SELECT revision, author FROM revisions ORDER BY 1")
    assert rows == [(1, "admin"), (2, "admin")]


def test_changes_too_far_back_need_a_snapshot(
    start: Callable[[Settings], Service], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start(replace(settings, kept_revisions=3))
    for number in range(5):
        service.add_gateway(f"g-{number}", addresses=[f"198.51.100.{number}"])
    for after, status in ((0, 410), (1, 410), (2, 200), (5, 200)):
        response = service.agent.get("/v1/allowlist/changes", params={"after": after})
        assert response.status_code == status, after
    refused = service.agent.get("/v1/allowlist/changes", params={"after": 1}).json()
    assert refused["type"].endswith("/snapshot-required")
    # No change waits for what it forgets to be deleted.
    assert rows_of(settings, "SELECT count(*) FROM changes") == [(5,)]
    monkeypatch.setattr("api.registry.upkeep._AT_ONCE", 1)
    upkeep(service.app.state.registry, timedelta(hours=1))
    assert rows_of(settings, "SELECT count(*) FROM changes") == [(3,)]


def test_a_revision_from_the_future_is_said_to_be_ahead(service: Service) -> None:
    response = service.agent.get("/v1/allowlist/changes", params={"after": 7})
    assert response.status_code == 409
    assert response.json()["type"].endswith("/revision-ahead")


def test_a_restored_registry_goes_on_above_what_a_router_has(service: Service) -> None:
    service.add_gateway()
    old = service.revision
    held = snapshot(service)
    ahead = report(held["registry"], 41, word=service.word(41))
    answer = service.agent.put("/v1/routers/edge-1/report", json=ahead)
    assert answer.status_code == 204
    risen = snapshot(service)
    assert risen["revision"] == 42
    assert risen["gateways"] == held["gateways"]
    for after in (old, 41):
        response = service.agent.get("/v1/allowlist/changes", params={"after": after})
        assert response.status_code == 410, after
    service.add_peer()
    assert list(changes(service, 42)["peers"]) == ["1"]


def test_a_report_behind_or_level_lifts_nothing(service: Service) -> None:
    service.add_gateway()
    registry = snapshot(service)["registry"]
    for revision in (0, 1):
        service.agent.put("/v1/routers/edge-1/report", json=report(registry, revision))
        assert service.revision == 1


def test_ended_peers_leave_after_thirty_days(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    service = start(replace(settings, upkeep_seconds=0.05))
    service.add_gateway()
    ends = service.add_peer(name="ends", valid_until=text(NOW + WEEK))
    stays = service.add_peer(name="stays")
    before = service.revision
    service.clock.now = NOW + WEEK + timedelta(days=30) - timedelta(seconds=1)
    quiet = service.agent.get("/v1/allowlist/changes", params={"after": before, "wait": 0.3})
    assert quiet.json()["revision"] == before
    service.clock.pass_time(timedelta(seconds=1))
    told = service.agent.get("/v1/allowlist/changes", params={"after": before, "wait": 20}).json()
    assert (told["revision"], told["peers"]) == (before + 1, {str(ends): None})
    assert [each["id"] for each in snapshot(service)["peers"]] == [stays]
    assert service.admin.get(f"/v1/peers/{ends}").json()["state"] == "expired"
    service.act(ends, "renew", {"valid_until": None})
    assert list(changes(service, before + 1)["peers"]) == [str(ends)]


def test_those_who_ended_together_leave_some_at_a_time(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for a million; canaries and the rest lose them alike, but what waits stays."""
    monkeypatch.setattr("api.registry.upkeep._AT_ONCE", 2)
    service.add_gateway()
    for number in range(5):
        service.add_peer(name=f"p-{number}", valid_until=text(NOW + WEEK))
    rule = {"canaries": {"stage": "canary"}, "hold": None}
    service.admin.put("/v1/rollout", json=rule, headers={"If-Match": "*"})
    changed = service.admin.patch("/v1/peers/4", json={"purpose": "x"}, headers={"If-Match": "*"})
    assert changed.is_success
    before = service.revision
    service.clock.now = NOW + WEEK + timedelta(days=30)
    upkeep(service.app.state.registry, timedelta(days=1))
    assert service.revision == before + 3
    causes = [each["cause"] for each in service.admin.get("/v1/revisions").json()["items"][:3]]
    assert causes == ["long-ended peers leave the allowlist (urgent)"] * 3
    assert [each["id"] for each in snapshot(service)["peers"]] == [4]
    assert snapshot(service)["peers"][0]["purpose"] != "x"
    waiting = service.admin.get("/v1/rollout").json()["pending"]
    assert [each["revision"] for each in waiting] == [before]
    assert service.admin.post("/v1/rollout/confirm", json={"revision": before}).is_success
    upkeep(service.app.state.registry, timedelta(days=1))
    assert snapshot(service)["peers"] == []


@pytest.mark.parametrize("approved", [False, True])
def test_pending_peers_are_nobodys_business(service: Service, approved: bool) -> None:
    service.add_gateway()
    before = service.revision
    number = service.request_peer()
    service.admin.patch(f"/v1/peers/{number}", json={"purpose": "other"}, headers={"If-Match": "*"})
    if not approved:
        service.act(number, "reject")
    assert changes(service, before)["revision"] == before


def test_lifted_by_hand_it_goes_on_above_what_routers_have(
    service: Service, settings: Settings
) -> None:
    """Also while it serves: routers that wait are told, and fetch a snapshot."""
    service.add_gateway()
    service.admin.put(
        "/v1/rollout", json={"canaries": {"stage": "canary"}}, headers={"If-Match": "*"}
    )
    service.add_peer()
    before = service.revision
    assert lift(settings, 41) == 42
    told = service.agent.get("/v1/allowlist/changes", params={"after": before, "wait": 20})
    assert told.status_code == 410
    # What waited for a release goes on waiting.
    assert snapshot(service)["peers"] == []
    waiting = service.admin.get("/v1/rollout").json()["pending"]
    assert [each["revision"] for each in waiting] == [before]
    assert service.admin.post("/v1/rollout/confirm", json={"revision": before}).is_success
    assert [each["id"] for each in snapshot(service)["peers"]] == [1]
    assert list(changes(service, 42)["peers"]) == ["1"]
    with pytest.raises(SettingsError, match="is at revision 43, above 7: nothing has to be done"):
        lift(settings, 7)
