"""An owner's token: for one peer that is approved, and for nothing else."""

import pytest

from tests.api.bodies import NOW, WEEK, gateway, text
from tests.api.conftest import Service
from tests.api.test_moves import ANY, here, move, refusal, site


@pytest.fixture
def hub(service: Service) -> Service:
    service.add_gateway()
    return service


def test_a_token_opens_its_own_peer_alone(hub: Service) -> None:
    site(hub)
    other = site(hub, name="other")
    owner = hub.owner(1)
    assert owner.get("/v1/peers/1").json()["id"] == 1
    for answer in (
        owner.get(f"/v1/peers/{other}"),
        owner.get("/v1/peers/77"),
        here(owner, other),
        move(owner, "203.0.113.8", number=other),
        owner.get("/v1/peers"),
        owner.get("/v1/status"),
        owner.get("/v1/rules"),
        owner.patch("/v1/peers/1", json={"purpose": "Mine"}, headers=ANY),
    ):
        assert answer.status_code == 403
    assert "other" not in owner.get(f"/v1/peers/{other}").text


def test_a_token_ends_with_its_peer(hub: Service) -> None:
    site(hub)
    owner = hub.owner(1)
    hub.act(1, "revoke")
    assert owner.get("/v1/peers/1").status_code == 401
    site(hub, name="applied-away")
    away = hub.owner(2)
    assert hub.admin.put("/v1/policy", json={"gateways": [gateway()]}, headers=ANY).is_success
    assert here(away, 2).status_code == 401


def test_a_peer_has_one_token(hub: Service) -> None:
    site(hub)
    first = hub.owner(1)
    second = hub.owner(1)
    assert (first.get("/v1/peers/1").status_code, second.get("/v1/peers/1").status_code) == (
        401,
        200,
    )
    (shown,) = [each for each in hub.admin.get("/v1/tokens").json()["items"] if each["peer"]]
    assert (shown["role"], shown["peer"], shown["name"]) == ("owner", 1, "branch-7")
    assert hub.admin.delete("/v1/peers/1/token").status_code == 204
    assert second.get("/v1/peers/1").status_code == 401
    assert hub.admin.delete("/v1/peers/1/token").status_code == 404


def test_a_token_is_for_a_peer_that_is_approved(hub: Service) -> None:
    number = hub.request_peer(bounds={})
    refused = hub.admin.post(f"/v1/peers/{number}/token", json={})
    assert refusal(refused) == (409, "wrong-state")
    elsewhere = hub.admin.post("/v1/tokens", json={"name": "x", "role": "owner"})
    assert (elsewhere.status_code, elsewhere.json()["errors"][0]["field"]) == (422, "role")


def test_whose_time_is_over_asks_for_a_renewal(hub: Service) -> None:
    site(hub, valid_until=text(NOW + WEEK))
    owner = hub.owner(1)
    hub.clock.pass_time(WEEK)
    refused = here(owner)
    assert refusal(refused) == (409, "wrong-state")
    assert "expired" in refused.json()["detail"]
