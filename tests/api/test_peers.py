"""A peer's life, and what of it is seen in the allowlist."""

from datetime import timedelta

import pytest

from tests.api.bodies import NOW, WEEK, peer, text
from tests.api.conftest import Service


@pytest.fixture
def hub(service: Service) -> Service:
    service.add_gateway()
    return service


def state(service: Service, number: int) -> str:
    shown: str = service.admin.get(f"/v1/peers/{number}").json()["state"]
    return shown


def listed(service: Service) -> list[int]:
    return [each["id"] for each in service.agent.get("/v1/allowlist").json()["peers"]]


def test_a_request_lets_nobody_in(hub: Service) -> None:
    before = hub.revision
    number = hub.request_peer()
    assert number >= 1
    assert (state(hub, number), listed(hub), hub.revision) == ("pending", [], before)


def test_an_approved_one_is_active_and_listed(hub: Service) -> None:
    before = hub.revision
    number = hub.add_peer()
    assert (state(hub, number), listed(hub), hub.revision) == ("active", [number], before + 1)
    shown = hub.admin.get(f"/v1/peers/{number}").json()
    assert (shown["decided"], shown["decided_by"]) == (text(NOW), "admin")


def test_a_rejected_one_stays_out_and_frees_its_name(hub: Service) -> None:
    number = hub.request_peer()
    hub.act(number, "reject", {"reason": "unknown site"})
    assert (state(hub, number), listed(hub)) == ("rejected", [])
    assert hub.admin.get(f"/v1/peers/{number}").json()["reason"] == "unknown site"
    assert hub.request_peer() > number


def test_a_revoked_one_is_out_for_good(hub: Service) -> None:
    number = hub.add_peer()
    hub.act(number, "revoke")
    assert (state(hub, number), listed(hub)) == ("revoked", [])
    again = hub.admin.post(f"/v1/peers/{number}/approve", headers={"If-Match": "*"})
    assert again.status_code == 409
    assert "revoked" in again.json()["detail"]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (None, "revoke"),
        (None, "renew"),
        ("approve", "approve"),
        ("approve", "reject"),
        ("reject", "approve"),
        ("reject", "renew"),
        ("reject", "reject"),
    ],
)
def test_a_step_that_does_not_follow_is_refused(hub: Service, first: str | None, then: str) -> None:
    number = hub.request_peer()
    if first is not None:
        hub.act(number, first)
    before = hub.admin.get(f"/v1/peers/{number}")
    body = {"valid_until": None} if then == "renew" else {"reason": "no"}
    refused = hub.admin.post(
        f"/v1/peers/{number}/{then}", json=body, headers={"If-Match": before.headers["ETag"]}
    )
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/wrong-state")
    assert hub.admin.get(f"/v1/peers/{number}").json() == before.json()


def test_the_state_shown_follows_the_time(hub: Service) -> None:
    number = hub.add_peer(valid_from=text(NOW + WEEK), valid_until=text(NOW + 2 * WEEK))
    assert (state(hub, number), listed(hub)) == ("approved", [number])
    hub.clock.now = NOW + WEEK
    assert state(hub, number) == "active"
    hub.clock.now = NOW + 2 * WEEK
    assert (state(hub, number), listed(hub)) == ("expired", [number])


def test_an_expired_one_is_renewed(hub: Service) -> None:
    number = hub.add_peer(valid_until=text(NOW + WEEK))
    hub.clock.now = NOW + 2 * WEEK
    before = hub.revision
    hub.act(number, "renew", {"valid_until": text(NOW + 3 * WEEK)})
    assert (state(hub, number), hub.revision) == ("active", before + 1)
    hub.act(number, "renew", {"valid_until": None})
    assert hub.admin.get(f"/v1/peers/{number}").json()["valid_until"] is None


@pytest.mark.parametrize("until", [NOW, NOW - WEEK])
def test_a_renewal_into_the_past_is_refused(hub: Service, until: object) -> None:
    number = hub.add_peer()
    refused = hub.admin.post(
        f"/v1/peers/{number}/renew",
        json={"valid_until": text(until)},  # type: ignore[arg-type]
        headers={"If-Match": "*"},
    )
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "valid_until"


def test_an_edit_is_in_force_at_once(hub: Service) -> None:
    number = hub.add_peer()
    before = hub.revision
    edited = hub.admin.patch(
        f"/v1/peers/{number}", json={"sources": ["203.0.113.8"]}, headers={"If-Match": "*"}
    )
    assert edited.json()["sources"] == ["203.0.113.8"]
    changes = hub.agent.get("/v1/allowlist/changes", params={"after": before}).json()
    assert changes["peers"][str(number)]["sources"] == ["203.0.113.8"]


def test_an_edit_that_changes_nothing_makes_no_revision(hub: Service) -> None:
    number = hub.add_peer()
    before, etag = hub.revision, hub.admin.get(f"/v1/peers/{number}").headers["ETag"]
    same = hub.admin.patch(
        f"/v1/peers/{number}", json={"sources": ["203.0.113.7/32"]}, headers={"If-Match": etag}
    )
    assert (same.status_code, same.headers["ETag"], hub.revision) == (200, etag, before)


def test_an_edit_is_checked_as_a_whole(hub: Service) -> None:
    number = hub.add_peer(valid_until=text(NOW + WEEK))
    refused = hub.admin.patch(
        f"/v1/peers/{number}",
        json={"valid_from": text(NOW + 2 * WEEK)},
        headers={"If-Match": "*"},
    )
    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {
            "field": "valid_until",
            "value": (NOW + WEEK).isoformat(),
            "rule": "the window ends before it starts",
        }
    ]


def test_two_live_peers_do_not_share_a_name(hub: Service) -> None:
    number = hub.request_peer()
    taken = hub.admin.post("/v1/peers", json=peer())
    assert (taken.status_code, taken.json()["errors"][0]["field"]) == (409, "name")
    hub.add_gateway("hub-2", addresses=["198.51.100.2"])
    assert hub.request_peer(gateway="hub-2") != number


def test_an_id_is_never_used_again(hub: Service) -> None:
    numbers = []
    for _ in range(3):
        numbers.append(hub.request_peer())
        hub.act(numbers[-1], "reject")
    assert sorted(set(numbers)) == numbers


def test_the_list_is_filtered_and_paged(hub: Service) -> None:
    pending = [hub.request_peer(name=f"p-{n}") for n in range(3)]
    active = [hub.add_peer(name=f"a-{n}") for n in range(2)]
    expired = hub.add_peer(name="e", valid_until=text(NOW + WEEK))
    hub.clock.pass_time(timedelta(weeks=2))

    def ids(**query: object) -> list[int]:
        found: list[int] = []
        cursor: object = None
        while True:
            page = hub.admin.get(
                "/v1/peers", params={**query, "limit": 2} | ({"cursor": cursor} if cursor else {})
            ).json()
            assert len(page["items"]) <= 2
            found += [each["id"] for each in page["items"]]
            cursor = page["next"]
            if cursor is None:
                return found

    assert ids() == [*pending, *active, expired]
    assert ids(state="pending") == pending
    assert ids(state="active") == active
    assert ids(state="expired") == [expired]
    assert ids(state="approved") == [*active, expired]
    assert ids(state="revoked") == []
    assert ids(gateway="hub") == [*pending, *active, expired]
    assert ids(gateway="nowhere") == []
