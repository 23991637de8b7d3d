"""Which strangers a change would let in or cut off is told before it is made."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api.records import Role
from api.registry import foreseen, knocking
from api.settings import Settings
from policy.prefixes import parse_trusted
from tests.api.bodies import NOW, WEEK, gateway, peer, text
from tests.api.client import Client
from tests.api.conftest import Service
from tests.api.strangers import seen, told

DRY = {"dry_run": "true"}
HOUR = timedelta(hours=1)
GATEWAY = "/v1/gateways/hub"


@pytest.fixture
def hub(service: Service) -> Service:
    """With a peer, 203.0.113.7, and strangers of three kinds."""
    service.add_gateway(services=["wireguard", "ipsec"])
    service.add_peer()
    told(
        service,
        seen("203.0.113.7"),
        seen("203.0.113.9"),
        seen("203.0.113.10", dropped=True, last_seen=text(NOW - timedelta(seconds=5))),
        seen("2001:db8:7::9", service="udp/500", last_seen=text(NOW - timedelta(seconds=90))),
    )
    return service


def heard(service: Service, source: str, /, **fields: str) -> None:
    """An hour later."""
    service.clock.pass_time(HOUR)
    now = service.clock.now
    told(service, seen(source, until=now, **fields), until=now)


def impact(
    client: Client, method: str, path: str, body: object = None, **query: str
) -> dict[str, Any]:
    answer = client.request(method, path, params=DRY | query, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["impact"]
    return found


def knocks(found: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    assert found["strangers_cut"] + found["strangers_let_in"] == len(found["strangers"])
    cut = [each for each in found["strangers"] if each["becomes"] == "dropped"]
    assert len(cut) == found["strangers_cut"]
    return [(each["source"], each["becomes"], each["peer"]) for each in found["strangers"]]


NINE, TEN, SIX = "203.0.113.9", "203.0.113.10", "2001:db8:7::9"


def of(becomes: str, *sources: str, peer: str | None = None) -> list[tuple[str, str, str | None]]:
    return [(source, becomes, peer) for source in sources]


# Peers


def test_an_approval_says_which_strangers_it_lets_in(hub: Service) -> None:
    """Whoever is registered already is none of them, and nobody at another gateway."""
    hub.add_gateway("b", addresses=["198.51.100.2"])
    heard(hub, "203.0.113.9", gateway="b")
    hub.add_peer(name="other", sources=[SIX])
    number = hub.request_peer(name="wide", sources=["203.0.113.0/24", "2001:db8:7::/48"])
    found = impact(hub.admin, "POST", f"/v1/peers/{number}/approve")
    assert knocks(found) == of("registered", TEN, NINE, peer="wide")
    assert found["strangers"][0] == {
        "id": 3,
        "gateway": "hub",
        "source": TEN,
        "service": "udp/51820",
        "becomes": "registered",
        "peer": "wide",
        "last_seen": text(NOW - timedelta(seconds=5)),
        "minutes": 3,
        "dropped": True,
        "signed_off": False,
    }
    assert (found["peers_let_in"], found["exact"]) == (1, True)


def test_changes_of_one_peer_say_the_same_of_strangers(hub: Service) -> None:
    wanted = {"sources": ["203.0.113.7", NINE]}
    expected = of("registered", NINE, peer="branch-7")
    path = "/v1/peers/1"
    assert knocks(impact(hub.admin, "PATCH", path, wanted)) == expected
    # What it has already is no stranger's, though a wider prefix lets it in then.
    wider = impact(hub.admin, "PATCH", path, {"sources": ["203.0.113.0/24"]})
    assert knocks(wider) == of("registered", TEN, NINE, peer="branch-7")
    registrar = hub.clients[Role.REGISTRAR]
    assert knocks(impact(registrar, "POST", f"{path}/propose", wanted)) == expected
    assert hub.admin.get(path).json()["proposal"] is None
    hub.act(1, "propose", wanted)
    assert knocks(impact(hub.admin, "POST", f"{path}/grant")) == expected
    hub.act(1, "grant")
    assert knocks(impact(hub.admin, "POST", f"{path}/revoke", {"reason": "closed"})) == []


def test_a_renewal_of_one_that_has_ended_lets_strangers_in(hub: Service) -> None:
    number = hub.add_peer(name="ends", sources=[TEN], valid_until=text(NOW + WEEK))
    until = {"valid_until": text(NOW + 3 * WEEK)}
    path = f"/v1/peers/{number}/renew"
    assert knocks(impact(hub.admin, "POST", path, until)) == []
    hub.clock.pass_time(WEEK)
    assert knocks(impact(hub.admin, "POST", path, until)) == of("registered", TEN, peer="ends")
    assert hub.admin.get(f"/v1/peers/{number}").json()["state"] == "expired"


def test_an_owner_hears_of_the_address_that_it_calls_from_alone(hub: Service) -> None:
    """Else its token would tell who talks to the gateway, and who is registered there."""
    hub.add_peer(name="other", sources=["203.0.113.11"])
    hub.set_bounds(1, ipv4_length=24, interval_seconds=0)
    owner = hub.owner(1, NINE)
    body = {"sources": ["203.0.113.0/28", "203.0.113.11"]}
    found = impact(owner, "PUT", "/v1/peers/1/sources", body)
    assert knocks(found) == of("registered", NINE, peer="branch-7")
    assert found["effects"][0]["let_in"] == ["203.0.113.0/28", "203.0.113.11"]
    assert found["exact"] is False
    assert knocks(impact(owner, "POST", "/v1/peers/1/here")) == of(
        "registered", NINE, peer="branch-7"
    )
    assert hub.admin.get("/v1/peers/1").json()["sources"] == ["203.0.113.7"]
    elsewhere = hub.owner(1, "203.0.113.12")
    assert knocks(impact(elsewhere, "PUT", "/v1/peers/1/sources", body)) == []
    far = elsewhere.put("/v1/peers/1/sources", params=DRY, json={"sources": ["203.0.0.0/16"]})
    assert far.status_code == 422


def test_an_owner_behind_a_proxy_is_where_the_proxy_says(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    service = start(replace(settings, trusted_proxies=(parse_trusted("127.0.0.1"),)))
    service.add_gateway()
    told(service, seen(NINE))
    service.add_peer(bounds={"interval_seconds": 0})
    owner = service.owner(1, "127.0.0.1")
    answer = owner.post("/v1/peers/1/here", params=DRY, headers={"X-Forwarded-For": NINE})
    assert knocks(answer.json()["impact"]) == of("registered", NINE, peer="branch-7")


# Gateways


def test_monitoring_lets_all_strangers_in_and_enforcing_cuts_them_off(hub: Service) -> None:
    path = GATEWAY
    monitor = impact(hub.admin, "PATCH", path, {"mode": "monitor"})
    assert knocks(monitor) == of("passed", TEN, NINE, SIX)
    assert knocks(impact(hub.admin, "PATCH", path, {"mode": "enforce"})) == []
    assert hub.admin.get(path).json()["mode"] == "enforce"
    hub.admin.patch(path, json={"mode": "monitor"}, headers={"If-Match": "*"})
    body = {"gateway": "hub", "prefix": NINE, "reason": "a scanner"}
    assert hub.admin.post("/v1/sign-offs", json=body).status_code == 201
    enforce = impact(hub.admin, "PATCH", path, {"mode": "enforce"})
    assert knocks(enforce) == of("dropped", TEN, NINE, SIX)
    assert [each["signed_off"] for each in enforce["strangers"]] == [False, True, False]
    assert (enforce["peers_cut"], enforce["unknown"]) == (0, [])


def test_a_window_cuts_off_where_it_is_longer_and_lets_in_where_it_is_shorter(
    hub: Service,
) -> None:
    """Of what is still to come."""
    week, later = text(NOW + WEEK), text(NOW + 2 * WEEK)
    all_ = [TEN, NINE, SIX]
    for before, after, expected in (
        ({}, {"enforce_from": week}, of("passed", *all_)),
        ({}, {"enforce_until": week}, of("passed", *all_)),
        ({}, {"enforce_from": text(NOW - WEEK)}, []),
        ({"enforce_from": week}, {"enforce_from": None}, of("dropped", *all_)),
        ({"enforce_until": text(NOW - WEEK)}, {"enforce_until": later}, of("dropped", *all_)),
        ({"enforce_until": text(NOW - WEEK)}, {"mode": "monitor", "enforce_until": None}, []),
        ({"enforce_from": week, "enforce_until": later}, {"enforce_from": text(NOW)}, "cut"),
    ):
        fresh = {"mode": "enforce", "enforce_from": None, "enforce_until": None} | before
        assert hub.admin.patch(GATEWAY, json=fresh, headers={"If-Match": "*"}).status_code == 200
        wanted = of("dropped", *all_) if expected == "cut" else expected
        assert knocks(impact(hub.admin, "PATCH", GATEWAY, after)) == wanted, (before, after)


def test_services_and_addresses_that_go_let_strangers_in(hub: Service) -> None:
    """What comes has been seen by nobody, and who talks to which address is not known."""
    path = GATEWAY
    found = impact(hub.admin, "PATCH", path, {"services": ["wireguard", "udp/4433"]})
    assert knocks(found) == of("passed", SIX)
    assert found["unknown"] == ["hub: nobody has seen yet who talks to udp/4433"]
    both = ["198.51.100.1", "198.51.100.2"]
    found = impact(hub.admin, "PATCH", path, {"addresses": both})
    assert (knocks(found), found["unknown"]) == (
        [],
        ["hub: nobody has seen yet who talks to 198.51.100.2"],
    )
    found = impact(hub.admin, "PATCH", path, {"addresses": both[1:]})
    assert knocks(found) == of("passed", TEN, NINE, SIX)
    hub.admin.patch(path, json={"addresses": both}, headers={"If-Match": "*"})
    found = impact(hub.admin, "PATCH", path, {"addresses": both[:1], "routers": {"site": "fra"}})
    assert knocks(found) == []
    assert found["unknown"] == [
        "hub: whoever talks to 198.51.100.2 passes then, and is known by the gateway alone",
        "hub: other routers carry it then, and what these see is not looked at",
    ]


def test_fragments_are_judged_while_any_service_has_their_protocol(hub: Service) -> None:
    heard(hub, "203.0.113.20", service="proto/17")
    fragment = ("203.0.113.20", "passed", None)
    assert fragment not in knocks(impact(hub.admin, "PATCH", GATEWAY, {"services": ["wireguard"]}))
    assert fragment in knocks(impact(hub.admin, "PATCH", GATEWAY, {"services": ["gre"]}))


def test_a_removal_lets_all_strangers_in(hub: Service) -> None:
    assert hub.admin.delete(GATEWAY, params=DRY).status_code == 409
    hub.act(1, "revoke")
    answer = hub.admin.delete(GATEWAY, params=DRY)
    assert (answer.status_code, answer.json()["gateway"]) == (200, None)
    # The peer's own address was a stranger's before it was registered.
    assert len(knocks(answer.json()["impact"])) == 4
    assert hub.admin.get(GATEWAY).status_code == 200


# All at once


def test_a_policy_says_it_of_gateways_and_peers_together(hub: Service) -> None:
    """Also as lines."""
    hub.add_gateway("b", addresses=["198.51.100.2"])
    hub.add_peer(name="at-b", gateway="b", sources=["203.0.113.30"])
    heard(hub, "203.0.113.31", gateway="b")
    document = {
        "gateways": [gateway(services=["wireguard"]), gateway(name="c", addresses=["192.0.2.1"])],
        "peers": [peer(), peer(name="new", sources=[NINE])],
    }
    found = impact(hub.admin, "PUT", "/v1/policy", document)
    assert knocks(found) == [
        ("203.0.113.31", "passed", None),
        (NINE, "registered", "new"),
        (SIX, "passed", None),
    ]
    # Where nobody is dropped any more, whose registration ends is not cut off.
    assert [(e["name"], e["cut"], e["let_in"]) for e in found["effects"]] == [("new", [], [NINE])]
    assert found["unknown"] == ["c: nobody has seen yet who talks to it"]
    lines = [{"gateway": each} for each in document["gateways"]]
    lines += [{"peer": each} for each in document["peers"]]
    body = "".join(json.dumps(line) + "\n" for line in lines)
    told_ = hub.admin.post("/v1/policy/import", params=DRY, content=body).json()
    assert told_["impact"] == found
    done = hub.admin.post("/v1/policy/import", content=body, headers={"If-Match": "*"}).json()
    assert done["impact"] is None


def test_a_gateway_of_another_name_takes_over_what_one_had(hub: Service) -> None:
    document = {
        "gateways": [gateway(name="nub", services=["wireguard", "ipsec"])],
        "peers": [peer(gateway="nub")],
    }
    found = impact(hub.admin, "PUT", "/v1/policy", document)
    assert knocks(found) == []
    assert found["unknown"] == [
        "hub: udp/51820, udp/500, udp/4500, proto/50, proto/51 become another gateway's: who is "
        "registered there is not looked for"
    ]
    assert found["peers_cut"] == 1


@pytest.mark.parametrize("mode", ["add", "replace"])
def test_an_import_says_it_of_what_it_approves(hub: Service, mode: str) -> None:
    body = "".join(
        json.dumps(peer(name=f"new-{n}", sources=[source])) + "\n"
        for n, source in enumerate((NINE, "203.0.113.99"))
    )
    path = "/v1/peers/import"
    query = DRY | {"mode": mode, "state": "approved"}
    found = hub.admin.post(path, params=query, content=body).json()["impact"]
    assert knocks(found) == of("registered", NINE, peer="new-0")
    assert (found["peers_let_in"], found["peers_cut"]) == (2, int(mode == "replace"))
    if mode == "add":
        pending = hub.admin.post(path, params=DRY, content=body).json()["impact"]
        assert (pending["effects"], pending["strangers"]) == ([], [])


def test_a_rollback_says_it_too(hub: Service) -> None:
    then = hub.revision
    hub.admin.patch(GATEWAY, json={"mode": "monitor"}, headers={"If-Match": "*"})
    hub.act(1, "revoke")
    hub.add_peer(name="new", sources=[NINE])
    found = impact(hub.admin, "POST", "/v1/rollback", {"to_revision": then})
    assert knocks(found) == [
        *of("dropped", TEN, SIX),
        ("203.0.113.7", "registered", "branch-7"),
    ]
    assert [(e["name"], e["cut"], e["let_in"]) for e in found["effects"]] == [
        ("new", [NINE], []),
        ("branch-7", [], ["203.0.113.7"]),
    ]
    assert found == impact(hub.admin, "POST", "/v1/rollback", {"to_revision": then})


# Bounds


def test_it_is_bounded_and_says_so(hub: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knocking, "_LOOKED", 2)
    found = impact(hub.admin, "PATCH", GATEWAY, {"mode": "monitor"})
    assert (knocks(found), found["exact"]) == (of("passed", TEN, NINE), False)
    hub.add_peer(name="covers", sources=["203.0.113.0/24"])
    closed = "POST", "/v1/peers/1/revoke", {"reason": "closed"}
    found = impact(hub.admin, *closed)
    assert (found["peers_cut"], found["exact"]) == (0, True)
    monkeypatch.setattr("api.registry.impact.LOOKED_FOR", 0)
    found = impact(hub.admin, *closed)
    assert (found["peers_cut"], found["exact"]) == (1, False)
    hub.act(2, "revoke")
    monkeypatch.setattr(foreseen, "_HELD", 2)
    body = "".join(
        json.dumps(peer(name=f"n-{n}", sources=[f"192.0.2.{n}"])) + "\n" for n in range(5)
    )
    query = DRY | {"mode": "replace"}
    found = hub.admin.post("/v1/peers/import", params=query, content=body).json()["impact"]
    assert (found["peers_let_in"], found["peers_cut"], found["exact"]) == (5, 1, False)
    assert len(found["effects"]) == 2
