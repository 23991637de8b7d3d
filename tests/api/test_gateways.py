"""Gateways: what is held, what clashes, and when one may go."""

import pytest

from tests.api.bodies import NOW, WEEK, gateway, text
from tests.api.conftest import Service


def test_one_is_added_shown_and_listed(service: Service) -> None:
    made = service.admin.post(
        "/v1/gateways",
        json=gateway(addresses=["198.51.100.1", "2001:db8::/121"], services=["ipsec", "tcp/443"]),
    )
    assert (made.status_code, made.headers["Location"]) == (201, "/v1/gateways/hub")
    assert made.json()["warnings"] == [
        "hub: tcp/443: every HTTPS client of this address then needs a registration"
    ]
    shown = service.admin.get("/v1/gateways/hub")
    assert shown.json() == made.json()
    assert shown.headers["ETag"] == made.headers["ETag"] == '"1"'
    assert service.admin.get("/v1/gateways").json() == {"items": [made.json()], "next": None}
    held = service.agent.get("/v1/allowlist").json()["gateways"]
    assert held == [
        {
            "name": "hub",
            "addresses": ["198.51.100.1", "2001:db8::/121"],
            "services": ["ipsec", "tcp/443"],
            "mode": "enforce",
            "enforce_from": None,
            "enforce_until": None,
        }
    ]


def test_a_change_keeps_what_is_not_named(service: Service) -> None:
    service.add_gateway(enforce_from=text(NOW), enforce_until=text(NOW + WEEK))
    before = service.revision
    changed = service.admin.patch(
        "/v1/gateways/hub", json={"enforce_until": None}, headers={"If-Match": '"1"'}
    )
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    assert changed.json()["enforce_from"] == text(NOW)
    assert changed.json()["enforce_until"] is None
    assert service.revision == before + 1


def test_a_change_is_checked_as_a_whole(service: Service) -> None:
    service.add_gateway(enforce_from=text(NOW))
    refused = service.admin.patch(
        "/v1/gateways/hub", json={"mode": "monitor"}, headers={"If-Match": "*"}
    )
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "mode"
    assert service.admin.get("/v1/gateways/hub").headers["ETag"] == '"1"'


def test_two_do_not_claim_the_same_service_of_an_address(service: Service) -> None:
    service.add_gateway()
    before = service.revision
    refused = service.admin.post(
        "/v1/gateways",
        json=gateway(name="spare", addresses=["198.51.100.0/29"], services=["udp/51820"]),
    )
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/gateways-clash")
    assert refused.json()["errors"] == [
        {
            "field": "services",
            "value": "udp/51820 at 198.51.100.1",
            "rule": "gateway hub has this (address, service) already",
        }
    ]
    assert (service.admin.get("/v1/gateways/spare").status_code, service.revision) == (404, before)


def test_two_share_an_address_with_services_of_their_own(service: Service) -> None:
    service.add_gateway()
    service.add_gateway("ipsec-hub", services=["ipsec"])
    assert len(service.admin.get("/v1/gateways").json()["items"]) == 2


def test_a_change_into_a_clash_is_refused(service: Service) -> None:
    service.add_gateway()
    service.add_gateway("spare", addresses=["198.51.100.2"])
    refused = service.admin.patch(
        "/v1/gateways/spare", json={"addresses": ["198.51.100.1"]}, headers={"If-Match": "*"}
    )
    assert refused.status_code == 409
    assert service.admin.get("/v1/gateways/spare").json()["addresses"] == ["198.51.100.2"]


def test_an_address_has_sixteen_services_over_all_gateways(service: Service) -> None:
    service.add_gateway(services=[f"udp/{port}" for port in range(1000, 1010)])
    service.add_gateway("second", services=[f"udp/{port}" for port in range(2000, 2006)])
    refused = service.admin.post("/v1/gateways", json=gateway(name="third", services=["udp/3000"]))
    assert refused.status_code == 409
    assert refused.json()["errors"][0]["rule"] == "an address has at most 16 services"


def test_there_are_4096_addresses_at_most(service: Service) -> None:
    for block in range(16):
        service.add_gateway(f"g-{block}", addresses=[f"2001:db8::{block:x}00/120"])
    refused = service.admin.post(
        "/v1/gateways", json=gateway(name="one-more", addresses=["198.51.100.1"])
    )
    assert refused.status_code == 409
    assert refused.json()["errors"] == [
        {
            "field": "gateways",
            "value": "4097 addresses",
            "rule": "a router carries at most 4096 gateway addresses",
        }
    ]


def test_a_name_is_given_once_at_a_time(service: Service) -> None:
    service.add_gateway()
    taken = service.admin.post("/v1/gateways", json=gateway(addresses=["198.51.100.9"]))
    assert (taken.status_code, taken.json()["type"]) == (409, "/problems/name-taken")


def test_a_name_does_not_change(service: Service) -> None:
    service.add_gateway()
    refused = service.admin.patch(
        "/v1/gateways/hub", json={"name": "other"}, headers={"If-Match": "*"}
    )
    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {"field": "name", "value": "other", "rule": "unknown field"}
    ]


@pytest.mark.parametrize("approved", [False, True])
def test_one_with_live_peers_stays(service: Service, approved: bool) -> None:
    service.add_gateway()
    number = service.add_peer() if approved else service.request_peer()
    kept = service.admin.delete("/v1/gateways/hub", headers={"If-Match": "*"})
    assert (kept.status_code, kept.json()["type"]) == (409, "/problems/gateway-in-use")
    assert "reject or revoke" in kept.json()["detail"]
    service.act(number, "revoke" if approved else "reject")
    gone = service.admin.delete("/v1/gateways/hub", headers={"If-Match": "*"})
    assert gone.status_code == 204
    assert service.admin.get("/v1/gateways/hub").status_code == 404


def test_one_of_the_same_name_begins_without_peers(service: Service) -> None:
    service.add_gateway()
    old = service.add_peer()
    service.act(old, "revoke")
    service.admin.delete("/v1/gateways/hub", headers={"If-Match": "*"})
    service.add_gateway(addresses=["198.51.100.77"])
    assert service.agent.get("/v1/allowlist").json()["peers"] == []
    new = service.add_peer()
    assert [p["id"] for p in service.agent.get("/v1/allowlist").json()["peers"]] == [new]


def test_what_was_read_of_one_is_stale_for_its_namesake(service: Service) -> None:
    read = service.admin.post("/v1/gateways", json=gateway()).headers["ETag"]
    service.admin.delete("/v1/gateways/hub", headers={"If-Match": read})
    service.add_gateway(addresses=["198.51.100.77"])
    stale = service.admin.delete("/v1/gateways/hub", headers={"If-Match": read})
    assert stale.status_code == 412
    assert service.admin.get("/v1/gateways/hub").status_code == 200


def test_lists_are_paged_by_name(service: Service) -> None:
    # By their bytes, which no language sorts by.
    names = ["B", "C", "a", "a-b", "ab"]
    for number, name in enumerate(reversed(names)):
        service.add_gateway(name, addresses=[f"198.51.100.{number}"])
    found: list[str] = []
    cursor = None
    for _ in range(3):
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = service.admin.get("/v1/gateways", params=query).json()
        found += [each["name"] for each in page["items"]]
        cursor = page["next"]
    assert (found, cursor) == (names, None)
