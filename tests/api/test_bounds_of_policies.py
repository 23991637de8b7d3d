"""Within what owners move their sources is imported and exported with the rest."""

from typing import Any

import pytest

from api.records import Role
from policy.document import Policy
from policy.file import parse_policy
from tests.api.bodies import gateway, peer
from tests.api.conftest import Service
from tests.api.test_import import ANY, IMPORT, POLICY, ndjson, policy_lines

BOUNDS = {
    "sources": 3,
    "ipv4_length": 28,
    "ipv6_length": 56,
    "here_ipv6_length": 60,
    "interval_seconds": 300,
    "within": ["203.0.113.0/24", "2001:db8::/32"],
}
YAML = {"Accept": "application/yaml"}


def bounds(service: Service) -> dict[str, Any]:
    peers = service.admin.get("/v1/peers").json()["items"]
    return {each["name"]: each["bounds"] for each in peers if each["state"] != "revoked"}


@pytest.fixture
def hub(service: Service) -> Service:
    service.add_gateway()
    service.add_peer(name="owned", bounds=BOUNDS)
    service.add_peer(name="plain", sources=["203.0.113.8"])
    return service


def test_ndjson_there_and_back(hub: Service) -> None:
    before, lines = bounds(hub), hub.admin.get("/v1/peers/export").content
    for number in (1, 2):
        hub.act(number, "revoke")
    lines = lines.replace(b'"state":"revoked"', b'"state":"active"')
    done = hub.admin.post(IMPORT, content=lines, params={"state": "kept"})
    assert done.json()["peers"]["added"] == 2
    assert bounds(hub) == before == {"owned": BOUNDS, "plain": None}


@pytest.mark.parametrize("as_lines", [False, True])
def test_a_policy_there_and_back(hub: Service, as_lines: bool) -> None:
    exported = hub.admin.get("/v1/policy").json()
    text = hub.admin.get("/v1/policy", headers=YAML).text
    assert parse_policy(text).model_dump() == Policy.model_validate(exported).model_dump()
    assert [each.get("bounds") for each in exported["peers"]] == [BOUNDS, None]

    def apply(document: dict[str, Any]) -> list[str]:
        """What it changed."""
        if as_lines:
            lines = policy_lines(*document["gateways"], peers=document["peers"])
            done = hub.admin.post(POLICY, content=lines, headers=ANY)
            assert done.is_success, done.text
            return [name for name, count in done.json()["peers"].items() if count]
        done = hub.admin.put("/v1/policy", json=document, headers=ANY)
        assert done.is_success, done.text
        return [each["action"] for each in done.json()["changes"] if each["kind"] == "peer"]

    assert apply(exported) in ([], ["unchanged"])
    assert apply(exported | {"peers": []}) in (["revoke", "revoke"], ["revoked"])
    assert apply(exported) in (["add", "add"], ["added"])
    assert bounds(hub) == {"owned": BOUNDS, "plain": None}
    # What is not said stays; null takes away, and then the sources are the policy's again.
    owned, plain = exported["peers"]
    silent = {name: value for name, value in owned.items() if name != "bounds"}
    assert apply(exported | {"peers": [silent, plain]}) in ([], ["unchanged"])
    assert bounds(hub)["owned"] == BOUNDS
    wider = BOUNDS | {"sources": 4}
    other = {"sources": ["203.0.113.77"]}
    changed = [silent | other | {"bounds": wider}, plain | {"bounds": BOUNDS}]
    revision = hub.revision
    assert apply(exported | {"peers": changed}) in (["change", "change"], ["changed"])
    assert bounds(hub) == {"owned": wider, "plain": BOUNDS}
    # Bounds are nothing to routers, and an owner's sources are no policy's.
    assert hub.revision == revision
    gone = [silent | other | {"bounds": None}, plain]
    assert "change" in apply(exported | {"peers": gone})[0]
    assert bounds(hub) == {"owned": None, "plain": BOUNDS}
    sources = {p["name"]: p["sources"] for p in hub.admin.get("/v1/policy").json()["peers"]}
    assert sources["owned"] == ["203.0.113.77"]


def test_a_token_ends_with_bounds_that_a_policy_takes_away(hub: Service) -> None:
    owner = hub.owner(1)
    document = hub.admin.get("/v1/policy").json()
    put = {"json": document, "headers": ANY}
    assert hub.admin.put("/v1/policy", **put).is_success
    assert owner.get("/v1/peers/1").status_code == 200
    document["peers"][0]["bounds"] = None
    assert hub.admin.put("/v1/policy", **put).is_success
    assert owner.get("/v1/peers/1").status_code == 401


def test_a_policy_that_was_read_before_bounds_were_set_is_stale(hub: Service) -> None:
    etag = hub.admin.get("/v1/policy").headers["ETag"]
    hub.set_bounds(2, sources=1)
    document = {"gateways": [gateway()], "peers": []}
    late = hub.admin.put("/v1/policy", json=document, headers={"If-Match": etag})
    assert late.status_code == 412


def test_wrong_bounds_are_refused_by_their_place(hub: Service) -> None:
    wrong = peer(name="new", bounds=BOUNDS | {"ipv4_length": 33})
    refused = hub.admin.post(IMPORT, content=ndjson(wrong)).json()["errors"][0]
    assert (refused["line"], refused["field"]) == (1, "bounds.ipv4_length")
    document = {"gateways": [gateway()], "peers": [wrong]}
    refused = hub.admin.put("/v1/policy", json=document, headers=ANY).json()["errors"][0]
    assert refused["field"] == "peers[0].bounds.ipv4_length"


def test_the_four_eyes_rule_holds_for_bounds_that_are_imported(hub: Service) -> None:
    """They are asked for and approved by two, and never anywhere."""
    hub.admin.patch("/v1/rules", json={"four_eyes": True}, headers=ANY)
    document = hub.admin.get("/v1/policy").json()
    document["peers"][1]["bounds"] = BOUNDS
    assert hub.admin.put("/v1/policy", json=document, headers=ANY).status_code == 403
    lines = policy_lines(*document["gateways"], peers=document["peers"])
    assert hub.admin.post(POLICY, content=lines, headers=ANY).status_code == 403
    anywhere = peer(name="new", bounds=BOUNDS | {"within": []})
    registrar = hub.clients[Role.REGISTRAR]
    refused = registrar.post(IMPORT, content=ndjson(anywhere))
    assert refused.json()["errors"][0]["field"] == "bounds.within"
    asked = registrar.post(IMPORT, content=ndjson(peer(name="new", bounds=BOUNDS)))
    assert asked.json()["peers"]["added"] == 1
    assert bounds(hub)["new"] == BOUNDS
    # One that takes away needs nobody else.
    document["peers"][1].pop("bounds")
    document["peers"][0]["bounds"] = None
    assert hub.admin.put("/v1/policy", json=document, headers=ANY).is_success
    assert bounds(hub)["owned"] is None
