"""A policy applied: whole or not at all, with every difference named."""

from typing import Any

import httpx
import pytest

from tests.api.bodies import NOW, WEEK, gateway, peer, text
from tests.api.conftest import Service


def spec(**fields: object) -> dict[str, Any]:
    return {"enforce_from": None, "enforce_until": None, "routers": {}} | gateway(**fields)


def peer_spec(**fields: object) -> dict[str, Any]:
    return {"valid_from": None, "valid_until": None} | peer(**fields)


def put(service: Service, document: object, **query: object) -> httpx.Response:
    headers = {"If-Match": service.admin.get("/v1/policy").headers["ETag"]}
    return service.admin.put(
        "/v1/policy", json=document, headers={} if query else headers, params=query
    )


def summary(response: httpx.Response) -> list[tuple[str, str, str]]:
    assert response.status_code == 200, response.text
    return [(each["action"], each["kind"], each["name"]) for each in response.json()["changes"]]


def test_an_empty_registry_is_filled_in_one_revision(service: Service) -> None:
    document = {"gateways": [spec()], "peers": [peer_spec(), peer_spec(name="branch-8")]}
    applied = put(service, document)
    assert summary(applied) == [
        ("add", "gateway", "hub"),
        ("add", "peer", "branch-7"),
        ("add", "peer", "branch-8"),
    ]
    assert (applied.json()["revision"], service.revision) == (1, 1)
    assert service.admin.get("/v1/policy").json() == document


def test_what_is_exported_changes_nothing_when_applied(service: Service) -> None:
    service.add_gateway(enforce_from=text(NOW), addresses=["198.51.100.1", "2001:db8::1"])
    service.add_peer(valid_until=text(NOW + WEEK))
    service.clock.now = NOW + 30 * WEEK
    before = service.admin.get("/v1/policy")
    again = put(service, before.json())
    assert (summary(again), again.json()["revision"]) == ([], 2)
    assert again.headers["ETag"] == before.headers["ETag"]


def test_each_difference_names_its_fields(service: Service) -> None:
    put(service, {"gateways": [spec()], "peers": [peer_spec(), peer_spec(name="goes")]})
    changed = put(
        service,
        {"gateways": [spec(mode="monitor")], "peers": [peer_spec(sources=["203.0.113.9"])]},
    )
    assert changed.json()["changes"] == [
        {
            "kind": "gateway",
            "name": "hub",
            "gateway": "hub",
            "action": "change",
            "fields": {"mode": ["enforce", "monitor"]},
        },
        {
            "kind": "peer",
            "name": "branch-7",
            "gateway": "hub",
            "action": "change",
            "fields": {"sources": [["203.0.113.7"], ["203.0.113.9"]]},
        },
        {
            "kind": "peer",
            "name": "goes",
            "gateway": "hub",
            "action": "revoke",
            "fields": {name: [value, None] for name, value in peer(name="goes").items()},
        },
    ]


def test_a_dry_run_says_the_same_and_does_nothing(service: Service) -> None:
    service.add_gateway()
    service.add_peer()
    pending = service.request_peer(name="branch-8")
    document = {
        "gateways": [spec(mode="monitor"), spec(name="b", addresses=["198.51.100.2"])],
        "peers": [peer_spec(name="branch-8", owner="Others"), peer_spec(name="c", gateway="b")],
    }
    before = service.admin.get("/v1/policy")
    dry = put(service, document, dry_run="true")
    assert service.admin.get("/v1/policy").json() == before.json()
    assert (dry.json()["dry_run"], dry.json()["revision"]) == (True, 2)
    assert service.admin.get(f"/v1/peers/{pending}").json()["state"] == "pending"
    wet = put(service, document)
    assert wet.json()["changes"] == dry.json()["changes"]
    assert summary(wet) == [
        ("add", "gateway", "b"),
        ("change", "gateway", "hub"),
        ("add", "peer", "c"),
        ("approve", "peer", "branch-8"),
        ("revoke", "peer", "branch-7"),
    ]
    assert wet.json()["revision"] == 3
    approved = service.admin.get(f"/v1/peers/{pending}").json()
    assert (approved["state"], approved["owner"]) == ("active", "Others")


def test_pending_peers_that_it_does_not_name_are_left_alone(service: Service) -> None:
    service.add_gateway()
    number = service.request_peer()
    assert summary(put(service, {"gateways": [spec()], "peers": []})) == []
    assert service.admin.get(f"/v1/peers/{number}").json()["state"] == "pending"


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_gateway_at_which_somebody_waits_is_not_removed(service: Service, dry_run: bool) -> None:
    service.add_gateway()
    service.add_gateway("b", addresses=["198.51.100.2"])
    service.request_peer()
    query = {"dry_run": "true"} if dry_run else {}
    refused = put(service, {"gateways": [], "peers": []}, **query)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/gateway-in-use")
    assert "1 (branch-7 at hub)" in refused.json()["detail"]
    assert len(service.admin.get("/v1/gateways").json()["items"]) == 2


def test_two_gateways_may_swap_their_addresses(service: Service) -> None:
    one, two = spec(), spec(name="b", addresses=["198.51.100.2"])
    put(service, {"gateways": [one, two]})
    swapped = {
        "gateways": [one | {"addresses": ["198.51.100.2"]}, two | {"addresses": ["198.51.100.1"]}]
    }
    assert len(summary(put(service, swapped))) == 2


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"gateways": [spec(), spec(name="b")]}, "gateways[1].services"),
        ({"gateways": [spec(), spec()]}, "gateways[1].name"),
        ({"gateways": [spec()], "peers": [peer_spec(gateway="b")]}, "peers[0].gateway"),
        ({"gateways": [spec()], "peers": [peer_spec(), peer_spec()]}, "peers[1].name"),
        (
            {"gateways": [spec()], "peers": [peer_spec(sources=["203.0.113.7/24"])]},
            "peers[0].sources[0]",
        ),
        ({"gateways": [spec(addresses=["198.51.100.0/23"])]}, "gateways[0].addresses[0]"),
        ({"gateway": []}, "gateway"),
    ],
)
def test_one_wrong_part_refuses_the_whole(service: Service, document: object, field: str) -> None:
    put(service, {"gateways": [spec(name="old", addresses=["192.0.2.1"])]})
    before = service.admin.get("/v1/policy").json()
    refused = put(service, document)
    assert refused.status_code == 422
    assert [each["field"] for each in refused.json()["errors"]] == [field]
    assert all(each["rule"] for each in refused.json()["errors"])
    assert service.admin.get("/v1/policy").json() == before
    assert put(service, document, dry_run="true").status_code == 422


def test_a_policy_is_for_the_state_that_was_read(service: Service) -> None:
    etag = service.admin.get("/v1/policy").headers["ETag"]
    service.add_gateway()
    body: dict[str, list[object]] = {"gateways": [], "peers": []}
    stale = service.admin.put("/v1/policy", json=body, headers={"If-Match": etag})
    missing = service.admin.put("/v1/policy", json=body)
    assert (stale.status_code, missing.status_code) == (412, 428)
    assert service.admin.get("/v1/gateways/hub").status_code == 200


def test_services_that_need_thought_are_warned_of(service: Service) -> None:
    document = {"gateways": [spec(services=["tcp/22", "sstp"])]}
    for query in ({"dry_run": "true"}, {}):
        warnings = put(service, document, **query).json()["warnings"]
        assert [each.split(": ")[:2] for each in warnings] == [
            ["hub", "tcp/22"],
            ["hub", "tcp/443"],
        ]


def test_with_too_many_peers_it_is_sent_as_lines(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All live ones would be held in memory at once."""
    monkeypatch.setattr("api.registry.policy.MOST", 1)
    service.add_gateway()
    service.add_peer()
    document = {"gateways": [gateway()], "peers": []}
    service.request_peer(name="waits")
    before = service.revision
    for query in ({"dry_run": True}, {}):
        refused = service.admin.put(
            "/v1/policy", json=document, params=query, headers={"If-Match": "*"}
        )
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/too-many-peers")
        assert "POST /v1/policy/import" in refused.json()["detail"]
    assert service.revision == before
