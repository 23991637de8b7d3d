"""What it would do to end, confirm or abort a staged roll-out is told before."""

from typing import Any

import pytest

from tests.api.bodies import NOW, WEEK, text
from tests.api.client import Client
from tests.api.conftest import Service
from tests.api.strangers import seen, told
from tests.api.test_rollout import ANY, set_rule

DRY = {"dry_run": "true"}
HUB = "/v1/gateways/hub"
# Cut, and let in.
Moved = dict[str, tuple[list[str], list[str]]]


@pytest.fixture
def staged(service: Service) -> Service:
    service.add_gateway()
    service.add_peer(name="stays")
    service.add_peer(name="goes", sources=["203.0.113.8"])
    told(service, seen("203.0.113.9"))
    set_rule(service)
    return service


def preview(
    service: Service, action: str, revision: int | None = None, method: str = "POST"
) -> dict[str, Any]:
    before = service.revision, service.admin.get("/v1/rollout").json()
    body = None if revision is None else {"revision": revision}
    answer = service.admin.request(method, f"/v1/rollout{action}", params=DRY, json=body)
    assert (answer.status_code, answer.json()["dry_run"]) == (200, True), answer.text
    assert (service.revision, service.admin.get("/v1/rollout").json()) == before
    found: dict[str, Any] = answer.json()["impact"]
    return found


def moved(found: dict[str, Any]) -> Moved:
    return {each["name"]: (each["cut"], each["let_in"]) for each in found["effects"]}


def knocks(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["source"], each["becomes"]) for each in found["strangers"]]


def test_a_release_is_told_as_the_rest_has_it_and_an_abort_as_the_canaries(staged: Service) -> None:
    staged.act(2, "revoke", {"reason": "closed"})
    staged.add_peer(name="comes", sources=["203.0.113.9"])
    wanted: Moved = {"goes": (["203.0.113.8"], []), "comes": ([], ["203.0.113.9"])}
    for found in (
        preview(staged, "/confirm", staged.revision),
        preview(staged, "", method="DELETE"),
    ):
        assert (moved(found), knocks(found)) == (wanted, [("203.0.113.9", "registered")])
        assert (found["peers_cut"], found["peers_let_in"], found["exact"]) == (1, 1, True)
    back = preview(staged, "/abort")
    assert moved(back) == {"comes": (["203.0.113.9"], []), "goes": ([], ["203.0.113.8"])}
    assert staged.admin.post("/v1/rollout/abort").json()["impact"] is None


def test_up_to_a_revision_it_is_what_waits_until_there(staged: Service) -> None:
    """What comes later neither covers anything yet, nor leaves it out."""
    staged.act(2, "revoke", {"reason": "closed"})
    first = staged.revision
    staged.add_peer(name="covers", sources=["203.0.113.8"])
    staged.act(1, "revoke", {"reason": "closed"})
    staged.add_peer(name="wide", sources=["203.0.112.0/23"], valid_from=text(NOW + WEEK))
    assert moved(preview(staged, "/confirm", first)) == {"goes": (["203.0.113.8"], [])}
    all_ = preview(staged, "/confirm", staged.revision)
    assert [(e["name"], e["cut"], e["effective_until"]) for e in all_["effects"] if e["cut"]] == [
        ("stays", ["203.0.113.7"], text(NOW + WEEK))
    ]
    stays = staged.request_peer(name="inside", sources=["203.0.113.7"])
    staged.admin.post(f"/v1/peers/{stays}/approve?urgent=true", headers=ANY)
    assert "stays" not in moved(preview(staged, "/confirm", staged.revision))


def test_what_waits_and_passes_as_before_covers_all_the_same(staged: Service) -> None:
    wide = staged.add_peer(name="wide", sources=["203.0.113.0/24"])
    body = {"revision": staged.revision}
    assert staged.admin.post("/v1/rollout/confirm", json=body).is_success
    other = {"purpose": "Other"}
    assert staged.admin.patch(f"/v1/peers/{wide}", json=other, headers=ANY).is_success
    staged.act(2, "revoke")
    assert moved(preview(staged, "/confirm", staged.revision)) == {}


def test_gateways_that_wait_say_it_of_strangers(staged: Service) -> None:
    staged.admin.patch(HUB, json={"mode": "monitor"}, headers=ANY)
    then = staged.revision
    assert knocks(preview(staged, "/confirm", then)) == [("203.0.113.9", "passed")]
    assert knocks(preview(staged, "/abort")) == [("203.0.113.9", "dropped")]
    staged.admin.patch(HUB, json={"mode": "enforce"}, headers=ANY)
    assert knocks(preview(staged, "/confirm", then)) == [("203.0.113.9", "passed")]
    assert knocks(preview(staged, "", method="DELETE")) == []


def test_it_is_refused_where_the_change_would_be(staged: Service) -> None:
    body = {"revision": staged.revision}
    for action in ("confirm", "abort"):
        refused = staged.admin.post(f"/v1/rollout/{action}", params=DRY, json=body)
        assert refused.json()["type"] == "/problems/nothing-pending"
    stale = staged.admin.delete("/v1/rollout", params=DRY, headers={"If-Match": '"0"'})
    assert stale.status_code == 412
    assert staged.admin.delete("/v1/rollout", headers=ANY).status_code == 204
    assert staged.admin.delete("/v1/rollout", params=DRY).status_code == 409


def rolled_back(service: Service, to: int, **query: object) -> dict[str, Any]:
    """As a dry run of an urgent one has it."""
    asked = {"dry_run": True, "urgent": True} | query
    answer = service.admin.post("/v1/rollback", json={"to_revision": to}, params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def held(router: Client) -> set[str]:
    """All sources that a router lets in."""
    peers = router.get("/v1/allowlist").json()["peers"]
    return {source for peer in peers for source in peer["sources"]}


def test_past_the_canaries_a_rollback_is_told_of_the_rest_too(staged: Service) -> None:
    """It goes from what was released, and not from what waits."""
    rest = staged.add_router("edge-2")
    first = staged.revision
    staged.act(2, "revoke")
    body = {"revision": staged.revision}
    assert staged.admin.post("/v1/rollout/confirm", json=body).is_success
    staged.add_peer(name="comes", sources=["203.0.113.9"])
    staged.admin.patch(HUB, json={"mode": "monitor"}, headers=ANY)
    between = staged.revision
    staged.act(1, "revoke")
    staged.admin.patch(HUB, json={"mode": "enforce"}, headers=ANY)

    found = rolled_back(staged, between)
    assert moved(found["impact"]) == {"stays": ([], ["203.0.113.7"])}
    assert moved(found["impact_on_rest"]) == {"comes": ([], ["203.0.113.9"])}
    assert knocks(found["impact_on_rest"]) == [("203.0.113.9", "registered")]
    found = rolled_back(staged, first)
    assert moved(found["impact"]) == {
        "comes": (["203.0.113.9"], []),
        "stays": ([], ["203.0.113.7"]),
        "goes": ([], ["203.0.113.8"]),
    }
    assert moved(found["impact_on_rest"]) == {"goes": ([], ["203.0.113.8"])}
    assert rolled_back(staged, first, urgent=False)["impact_on_rest"] is None
    # And so it is.
    before = held(rest)
    done = staged.admin.post(
        "/v1/rollback", json={"to_revision": first}, params={"urgent": True}, headers=ANY
    )
    assert (done.status_code, done.json()["impact_on_rest"]) == (200, None)
    assert held(rest) - before == {"203.0.113.8"}
    assert before - held(rest) == set()


def test_of_gateways_too(staged: Service) -> None:
    """What the rest has of them is what was released."""
    staged.admin.patch(HUB, json={"mode": "monitor"}, headers=ANY)
    monitored = staged.revision
    staged.admin.patch(HUB, json={"mode": "enforce"}, headers=ANY)
    found = rolled_back(staged, monitored)
    assert knocks(found["impact"]) == [("203.0.113.9", "passed")]
    assert knocks(found["impact_on_rest"]) == [("203.0.113.9", "passed")]
    found = rolled_back(staged, monitored - 1)
    assert (found["total"], knocks(found["impact_on_rest"])) == (0, [])
    body = {"revision": monitored}
    assert staged.admin.post("/v1/rollout/confirm", json=body).is_success
    found = rolled_back(staged, monitored - 1)
    assert (knocks(found["impact"]), knocks(found["impact_on_rest"])) == (
        [],
        [("203.0.113.9", "dropped")],
    )
    staged.admin.delete("/v1/rollout", headers=ANY)
    assert rolled_back(staged, monitored)["impact_on_rest"] is None
