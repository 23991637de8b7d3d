"""What every registration keeps to: four eyes, terms of use, the longest validity."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.records import Role
from tests.api.bodies import NOW, WEEK, gateway, peer, text
from tests.api.client import Client
from tests.api.conftest import Service

ANY = {"If-Match": "*"}
YEAR = timedelta(days=365)


@pytest.fixture
def hub(service: Service) -> Service:
    service.add_gateway()
    return service


@pytest.fixture
def other_admin(hub: Service) -> Callable[..., httpx.Response]:
    """Requests of another admin, whose token has the same name as the first one's."""
    made = hub.admin.post("/v1/tokens", json={"name": "admin", "role": "admin"})
    headers = {"Authorization": f"Bearer {made.json()['token']}", **ANY}

    def ask(method: str, path: str, body: object = None) -> httpx.Response:
        return hub.nobody.request(method, path, json=body, headers=headers)

    return ask


def rule(service: Service, **fields: object) -> None:
    changed = service.admin.patch("/v1/rules", json=fields, headers=ANY)
    assert changed.status_code == 200, changed.text


def refusal(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["type"].rpartition("/")[2]


def test_rules_are_kept_with_their_version(service: Service) -> None:
    before = service.admin.get("/v1/rules")
    assert before.json() == {"four_eyes": False, "terms": None, "longest_days": None}
    terms = {"version": "1", "text": "Be kind.\nKeep us informed.", "url": None}
    for fields in ({"four_eyes": True}, {"terms": terms}, {"longest_days": 30}):
        rule(service, **fields)
    after = service.clients[Role.VIEWER].get("/v1/rules")
    assert after.json() == {"four_eyes": True, "terms": terms, "longest_days": 30}
    same = service.admin.patch("/v1/rules", json={"longest_days": 30}, headers=ANY)
    assert same.headers["ETag"] == after.headers["ETag"] != before.headers["ETag"]
    stale = service.admin.patch(
        "/v1/rules", json={"four_eyes": False}, headers={"If-Match": before.headers["ETag"]}
    )
    assert stale.status_code == 412


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"longest_days": 0}, "longest_days"),
        ({"terms": {"version": "1"}}, "terms"),
        ({"terms": {"version": "1", "url": "ftp://www.example.net"}}, "terms.url"),
        ({"terms": {"version": "1", "text": "a\x1b[0m"}}, "terms.text"),
        ({"eyes": 4}, "eyes"),
        ({"four_eyes": None}, "four_eyes"),
    ],
)
def test_a_rule_that_is_none_is_refused(service: Service, fields: object, field: str) -> None:
    refused = service.admin.patch("/v1/rules", json=fields, headers=ANY)
    assert refused.status_code == 422
    assert [each["field"] for each in refused.json()["errors"]] == [field]


@pytest.mark.parametrize("action", ["reject", "revoke"])
@pytest.mark.parametrize("body", [None, {}, {"reason": None}, {"reason": ""}])
def test_an_end_has_a_reason(hub: Service, action: str, body: object) -> None:
    number = hub.request_peer() if action == "reject" else hub.add_peer()
    refused = hub.admin.post(f"/v1/peers/{number}/{action}", json=body, headers=ANY)
    assert refused.status_code == 422
    hub.act(number, action, {"reason": "closed"})
    assert hub.admin.get(f"/v1/peers/{number}").json()["reason"] == "closed"


@pytest.mark.parametrize("field", ["owner", "contact", "purpose"])
def test_nobody_is_registered_without_somebody_responsible(hub: Service, field: str) -> None:
    body = peer()
    del body[field]
    refused = hub.admin.post("/v1/peers", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)


# Four eyes


def test_whoever_asks_does_not_approve(
    hub: Service, other_admin: Callable[..., httpx.Response]
) -> None:
    number = hub.request_peer()
    rule(hub, four_eyes=True)
    refused = hub.admin.post(f"/v1/peers/{number}/approve", headers=ANY)
    assert refusal(refused) == (403, "four-eyes")
    assert hub.agent.get("/v1/allowlist").json()["peers"] == []
    assert other_admin("POST", f"/v1/peers/{number}/approve").json()["state"] == "active"


def test_whoever_edited_a_request_does_not_approve_it_either(
    hub: Service, other_admin: Callable[..., httpx.Response]
) -> None:
    """Also not where somebody else edited it after that."""
    rule(hub, four_eyes=True)
    made = hub.clients[Role.REGISTRAR].post("/v1/peers", json=peer()).json()
    path = f"/v1/peers/{made['id']}"
    assert hub.admin.patch(path, json={"sources": ["192.0.2.0/24"]}, headers=ANY).is_success
    later = hub.clients[Role.REGISTRAR].patch(path, json={"purpose": "Else"}, headers=ANY)
    assert later.is_success
    assert refusal(hub.admin.post(f"{path}/approve", headers=ANY)) == (403, "four-eyes")
    # Who sends what is there already is no author.
    assert other_admin("PATCH", path, {"purpose": "Else"}).is_success
    assert other_admin("POST", f"{path}/approve").is_success


def test_without_the_rule_one_is_enough(hub: Service) -> None:
    number = hub.add_peer()
    path = f"/v1/peers/{number}"
    assert hub.admin.patch(path, json={"sources": ["192.0.2.1"]}, headers=ANY).is_success
    hub.act(number, "propose", {"sources": ["192.0.2.2"]})
    hub.act(number, "grant")
    assert hub.admin.get(path).json()["sources"] == ["192.0.2.2"]


@pytest.mark.parametrize(
    ("fields", "alone"),
    [
        ({"purpose": "Other", "owner": "Others", "name": "b"}, True),
        ({"sources": ["203.0.113.0/28"]}, True),
        ({"sources": ["203.0.113.0/25", "203.0.113.128/25", "2001:db8:7:1::/64"]}, True),
        ({"sources": ["203.0.112.0/23"]}, False),
        ({"sources": ["203.0.113.0/24", "192.0.2.1"]}, False),
        ({"sources": ["2001:db8::/32"]}, False),
        ({"valid_until": text(NOW + WEEK)}, True),
        ({"valid_until": text(NOW + 5 * WEEK)}, False),
        ({"valid_until": None}, False),
        ({"valid_from": text(NOW)}, True),
        ({"valid_from": None}, False),
    ],
)
def test_one_alone_only_takes_from_what_was_approved(
    hub: Service, fields: dict[str, Any], alone: bool
) -> None:
    number = hub.add_peer(
        sources=["203.0.113.0/24", "2001:db8:7::/48"],
        valid_from=text(NOW - WEEK),
        valid_until=text(NOW + 4 * WEEK),
    )
    rule(hub, four_eyes=True)
    edited = hub.admin.patch(f"/v1/peers/{number}", json=fields, headers=ANY)
    assert edited.status_code == (200 if alone else 403), edited.text
    if not alone:
        assert refusal(edited) == (403, "four-eyes")
    if "valid_until" in fields and fields["valid_until"] != text(NOW + WEEK):
        renewed = hub.admin.post(f"/v1/peers/{number}/renew", json=fields, headers=ANY)
        assert refusal(renewed) == (403, "four-eyes")


def test_a_policy_does_not_get_around_it(
    hub: Service, other_admin: Callable[..., httpx.Response]
) -> None:
    hub.add_peer()
    hub.request_peer(name="waits")
    rule(hub, four_eyes=True)
    hubs = [gateway()]

    def apply(*peers: object, ask: Callable[..., httpx.Response] = hub.admin.request) -> int:
        body = {"gateways": hubs, "peers": peers}
        dry = ask("PUT", "/v1/policy?dry_run=true", body).status_code
        wet = ask("PUT", "/v1/policy", body)
        assert wet.status_code == dry
        if wet.status_code == 403:
            assert wet.json()["type"] == "/problems/four-eyes"
        return wet.status_code

    def admin(method: str, path: str, body: object) -> httpx.Response:
        return hub.admin.request(method, path, json=body, headers=ANY)

    assert apply(peer(), peer(name="new"), ask=admin) == 403
    assert apply(peer(sources=["203.0.113.0/24"]), ask=admin) == 403
    assert apply(peer(), peer(name="waits"), ask=admin) == 403
    assert apply(peer(), peer(name="waits", sources=["192.0.2.9"]), ask=other_admin) == 403
    assert apply(peer(), peer(name="waits"), ask=other_admin) == 200
    assert apply(ask=admin) == 200
    assert hub.agent.get("/v1/allowlist").json()["peers"] == []


# Proposals


def test_a_registrar_asks_for_a_renewal_and_an_approver_grants_it(hub: Service) -> None:
    number = hub.add_peer(valid_until=text(NOW + WEEK))
    rule(hub, four_eyes=True)
    path, before = f"/v1/peers/{number}", hub.revision
    until = text(NOW + YEAR)
    registrar, approver = hub.clients[Role.REGISTRAR], hub.clients[Role.APPROVER]
    body = {"valid_until": until, "reason": "It goes on"}
    asked = registrar.post(f"{path}/propose", json=body, headers=ANY)
    assert (asked.json()["valid_until"], hub.revision) == (text(NOW + WEEK), before)
    assert asked.json()["proposal"] == {
        "fields": {"valid_until": until},
        "reason": "It goes on",
        "proposed": text(NOW),
        "proposed_by": "a-registrar",
        "declined": None,
        "declined_by": None,
    }
    assert registrar.post(f"{path}/grant", headers=ANY).status_code == 403
    granted = approver.post(f"{path}/grant", headers={"If-Match": asked.headers["ETag"]})
    shown = granted.json()
    assert (shown["valid_until"], shown["proposal"]) == (until, None)
    assert hub.revision == before + 1
    assert refusal(approver.post(f"{path}/grant", headers=ANY)) == (409, "nothing-proposed")


def test_whoever_proposes_does_not_grant(
    hub: Service, other_admin: Callable[..., httpx.Response]
) -> None:
    number = hub.add_peer()
    rule(hub, four_eyes=True)
    hub.act(number, "propose", {"sources": ["192.0.2.0/24"]})
    refused = hub.admin.post(f"/v1/peers/{number}/grant", headers=ANY)
    assert refusal(refused) == (403, "four-eyes")
    granted = other_admin("POST", f"/v1/peers/{number}/grant")
    assert granted.json()["sources"] == ["192.0.2.0/24"]


def test_what_was_declined_can_be_read_and_not_granted(hub: Service) -> None:
    number = hub.add_peer()
    path, before = f"/v1/peers/{number}", hub.revision
    hub.act(number, "propose", {"sources": ["192.0.2.1"]})
    hub.act(number, "decline", {"reason": "Not this year"})
    shown = hub.admin.get(path).json()
    assert shown["proposal"]["declined"] == "Not this year"
    assert (shown["sources"], hub.revision) == (["203.0.113.7"], before)
    for action, body in (("grant", None), ("decline", {"reason": "Again"})):
        refused = hub.admin.post(f"{path}/{action}", json=body, headers=ANY)
        assert refusal(refused) == (409, "nothing-proposed")
    hub.act(number, "propose", {"sources": ["192.0.2.2"]})
    hub.act(number, "grant")
    assert hub.admin.get(path).json()["sources"] == ["192.0.2.2"]


def test_a_proposal_that_could_not_be_granted_is_refused(hub: Service) -> None:
    number = hub.add_peer()
    hub.add_peer(name="taken")
    path = f"/v1/peers/{number}/propose"
    for body, status in (
        ({"sources": ["203.0.113.7"]}, 409),
        ({"name": "taken"}, 409),
        ({"valid_from": text(NOW), "valid_until": text(NOW)}, 422),
    ):
        assert hub.admin.post(path, json=body, headers=ANY).status_code == status
    pending = hub.request_peer(name="pending")
    refused = hub.admin.post(f"/v1/peers/{pending}/propose", json={"name": "x"}, headers=ANY)
    assert refusal(refused) == (409, "wrong-state")


def test_a_proposal_ends_with_its_peer(hub: Service) -> None:
    number = hub.add_peer()
    hub.act(number, "propose", {"sources": ["192.0.2.1"]})
    hub.act(number, "revoke")
    assert hub.admin.get(f"/v1/peers/{number}").json()["proposal"] is None


# Terms of use


def test_who_asks_acknowledges_the_terms_in_force(hub: Service) -> None:
    registrar: Client = hub.clients[Role.REGISTRAR]

    def ask(name: str, **fields: object) -> httpx.Response:
        return registrar.post("/v1/peers", json=peer(name=name, **fields))

    assert ask("before").json()["terms"] is None
    assert ask("none", terms="1").status_code == 422
    rule(hub, terms={"version": "1", "url": "https://www.example.net/terms"})
    for fields in ({}, {"terms": None}, {"terms": "2"}):
        refused = ask("x", **fields)
        assert refusal(refused) == (422, "terms-of-use")
        (error,) = refused.json()["errors"]
        assert error["field"] == "terms"
        assert "version 1, https://www.example.net/terms" in error["rule"]
    accepted = ask("x", terms="1").json()
    assert accepted["terms"] == "1"
    rule(hub, terms={"version": "2", "text": "New ones"})
    assert refusal(ask("y", terms="1")) == (422, "terms-of-use")
    # What was asked for under the old ones is decided as it stands.
    hub.act(accepted["id"], "approve")


# The longest validity


def test_nothing_lasts_longer_than_the_rule(hub: Service) -> None:
    forever = hub.add_peer(name="forever")
    rule(hub, longest_days=365)
    asked = hub.admin.post("/v1/peers", json=peer()).json()
    assert asked["valid_until"] == text(NOW + YEAR)
    later = hub.admin.post("/v1/peers", json=peer(name="l", valid_from=text(NOW + WEEK))).json()
    assert later["valid_until"] == text(NOW + WEEK + YEAR)
    too_long = text(NOW + YEAR + timedelta(seconds=1))
    path = f"/v1/peers/{asked['id']}"
    hub.act(asked["id"], "approve")
    for method, where, body in (
        ("POST", "/v1/peers", peer(name="x", valid_until=too_long)),
        ("PATCH", path, {"valid_until": too_long}),
        ("PATCH", path, {"valid_until": None}),
        ("POST", f"{path}/renew", {"valid_until": None}),
        ("POST", f"{path}/renew", {"valid_until": too_long}),
        ("POST", f"{path}/propose", {"valid_until": too_long}),
        ("PUT", "/v1/policy", {"gateways": [gateway()], "peers": [peer(name="new")]}),
    ):
        refused = hub.admin.request(method, where, json=body, headers=ANY)
        assert refused.status_code == 422, (method, where)
        (error,) = refused.json()["errors"]
        place = "peers[0]." if where == "/v1/policy" else ""
        assert error["field"] == f"{place}valid_until"
        assert "365 days at most" in error["rule"]
    # What was there before stays as it is, and may be edited.
    edited = hub.admin.patch(f"/v1/peers/{forever}", json={"purpose": "Other"}, headers=ANY)
    assert edited.status_code == 200
    hub.clock.pass_time(WEEK)
    hub.act(asked["id"], "renew", {"valid_until": text(NOW + WEEK + YEAR)})
