"""Strangers that are ignored on purpose: by whom, why, until when; and in the audit trail."""

from datetime import timedelta

import httpx
import pytest

from api.records import Role
from tests.api.bodies import NOW, text
from tests.api.conftest import Service
from tests.api.strangers import Item, listed, seen, sources, told

DAY = timedelta(days=1)


@pytest.fixture
def hub(service: Service) -> Service:
    service.add_gateway()
    service.add_gateway("spoke", addresses=["198.51.100.2"])
    told(service, seen("203.0.113.9"), seen("203.0.113.10"), seen("203.0.113.9", gateway="spoke"))
    return service


def sign_off(service: Service, prefix: str = "203.0.113.9", **fields: object) -> httpx.Response:
    body = {"gateway": "hub", "prefix": prefix, "reason": "a scanner"} | fields
    return service.clients[Role.APPROVER].post("/v1/sign-offs", json=body)


def left(service: Service) -> list[tuple[str, str]]:
    found = listed(service, signed_off=False)
    return sorted((each["gateway"], each["source"]) for each in found)


def test_whoever_is_signed_off_is_left_out(hub: Service) -> None:
    made = sign_off(hub)
    assert made.status_code == 201, made.text
    assert made.headers["Location"] == "/v1/sign-offs/1"
    assert made.json() == {
        "id": 1,
        "gateway": "hub",
        "prefix": "203.0.113.9",
        "reason": "a scanner",
        "until": None,
        "created": text(NOW),
        "created_by": "a-approver",
    }
    assert left(hub) == [("hub", "203.0.113.10"), ("spoke", "203.0.113.9")]
    shown = {(e["gateway"], e["source"]): e["signed_off"] for e in listed(hub)}
    assert shown["hub", "203.0.113.9"] == made.json()
    assert shown["spoke", "203.0.113.9"] is None
    # It lets nobody in, and is no change of the allowlist.
    assert hub.revision == 2
    assert hub.admin.get("/v1/sign-offs/1").json() == made.json()


def test_a_prefix_stands_for_all_in_it_until_it_ends(hub: Service) -> None:
    sign_off(hub, "203.0.113.8/29", until=text(NOW + DAY))
    assert left(hub) == [("spoke", "203.0.113.9")]
    # The longer one says more.
    sign_off(hub, reason="this one we know")
    (host,) = [e for e in listed(hub, gateway="hub") if e["source"] == "203.0.113.9"]
    assert host["signed_off"]["reason"] == "this one we know"
    hub.clock.pass_time(DAY)
    assert left(hub) == [("hub", "203.0.113.10"), ("spoke", "203.0.113.9")]
    # One that has ended gives way to another of its prefix.
    again = sign_off(hub, "203.0.113.8/29")
    assert again.status_code == 201
    found = hub.admin.get("/v1/sign-offs?gateway=hub").json()["items"]
    assert [each["id"] for each in found] == [2, 3]


def test_it_is_taken_back(hub: Service) -> None:
    sign_off(hub)
    approver = hub.clients[Role.APPROVER]
    assert approver.delete("/v1/sign-offs/1").status_code == 428
    assert approver.delete("/v1/sign-offs/1", headers={"If-Match": '"7"'}).status_code == 412
    etag = {"If-Match": approver.get("/v1/sign-offs/1").headers["ETag"]}
    assert approver.delete("/v1/sign-offs/1", headers=etag).status_code == 204
    assert len(left(hub)) == 3
    for method in ("GET", "DELETE"):
        assert approver.request(method, "/v1/sign-offs/1", headers=etag).status_code == 404


def test_the_audit_trail_says_who_and_why(hub: Service) -> None:
    sign_off(hub, until=text(NOW + DAY))
    hub.admin.delete("/v1/sign-offs/1", headers={"If-Match": "*"})
    back, made = hub.admin.get("/v1/audit?subject=sign-off/1").json()["items"]
    kept = {
        "id": 1,
        "gateway": "hub",
        "prefix": "203.0.113.9/32",
        "reason": "a scanner",
        "until": text(NOW + DAY),
        "created": text(NOW),
        "created_by": "a-approver",
    }
    assert (made["action"], made["actor"]["name"]) == ("stranger.sign-off", "a-approver")
    assert (made["before"], made["after"]) == (None, kept)
    assert (back["action"], back["actor"]["name"]) == ("stranger.take-back", "admin")
    assert (back["before"], back["after"]) == (kept, None)
    events = hub.admin.get("/v1/events?follow=false&types=stranger.signed_off").text
    assert '"prefix":"203.0.113.9"' in events
    assert "stranger.taken_back" in hub.admin.get("/v1/events?follow=false").text


def test_nobody_says_it_twice(hub: Service) -> None:
    key = {"Idempotency-Key": "sign-it-off"}
    body = {"gateway": "hub", "prefix": "203.0.113.9", "reason": "a scanner"}
    answers = [hub.admin.post("/v1/sign-offs", json=body, headers=key) for _ in range(2)]
    assert [each.json()["id"] for each in answers] == [1, 1]
    again = sign_off(hub)
    assert (again.status_code, again.json()["type"]) == (409, "/problems/signed-off")
    assert "admin (sign-off 1): to say something else, take that back" in again.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "field", "status"),
    [
        ({"prefix": "203.0.113.9/24"}, "prefix", 422),
        ({"prefix": "0.0.0.0/0"}, "prefix", 422),
        ({"gateway": "nowhere"}, "gateway", 409),
        ({"reason": ""}, "reason", 422),
        ({"reason": "\x1b]0;owned\x07"}, "reason", 422),
        ({"until": text(NOW)}, "until", 422),
    ],
)
def test_what_is_no_sign_off_is_refused(
    hub: Service, fields: Item, field: str, status: int
) -> None:
    refused = sign_off(hub, **fields)
    assert refused.status_code == status, refused.text
    assert [each["field"] for each in refused.json()["errors"]] == [field]
    assert hub.admin.get("/v1/sign-offs").json()["items"] == []


def test_they_are_listed_page_by_page(hub: Service) -> None:
    for number in range(5):
        sign_off(hub, f"192.0.2.{number}", gateway=("hub", "spoke")[number % 2])
    page = hub.admin.get("/v1/sign-offs?limit=3").json()
    rest = hub.admin.get(f"/v1/sign-offs?limit=3&cursor={page['next']}").json()
    assert [e["prefix"] for e in (*page["items"], *rest["items"])] == [
        f"192.0.2.{number}" for number in range(5)
    ]
    assert rest["next"] is None
    hub.admin.delete("/v1/gateways/spoke", headers={"If-Match": "*"})
    assert len(hub.admin.get("/v1/sign-offs").json()["items"]) == 3
    assert hub.admin.get("/v1/sign-offs/2").status_code == 404
    assert sources(hub, gateway="spoke") == []
