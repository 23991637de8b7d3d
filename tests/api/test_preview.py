"""What a change would do is told before it is made, and nothing is changed by that."""

from datetime import timedelta
from typing import Any

import pytest

from api.records import Role
from tests.api.bodies import NOW, WEEK, gateway, peer, text
from tests.api.conftest import Service
from tests.api.test_sightings import tell

HOUR = timedelta(hours=1)
CLOSED = {"reason": "closed"}


@pytest.fixture
def hub(service: Service) -> Service:
    service.add_gateway()
    return service


def ask(
    service: Service, number: int, action: str, body: object = None, role: Role = Role.ADMIN
) -> dict[str, Any]:
    before = service.admin.get("/v1/peers").json(), service.revision
    method, path = ("PATCH", "") if action == "edit" else ("POST", f"/{action}")
    answer = service.clients[role].request(
        method, f"/v1/peers/{number}{path}?dry_run=true", json=body
    )
    assert answer.status_code == 200, answer.text
    assert (service.admin.get("/v1/peers").json(), service.revision) == before
    assert "ETag" not in answer.headers
    found: dict[str, Any] = answer.json()
    return found


def effects(found: dict[str, Any]) -> list[tuple[str, list[str], list[str], str | None]]:
    return [
        (each["name"], each["cut"], each["let_in"], each["last_seen"])
        for each in found["impact"]["effects"]
    ]


def test_a_revocation_says_who_is_cut_off_and_when_it_was_seen(hub: Service) -> None:
    number = hub.add_peer(sources=["203.0.113.7", "2001:db8:7::/48"])
    tell(hub, "edge-1", (NOW - HOUR, [number]))
    found = ask(hub, number, "revoke", CLOSED)
    sources = ["203.0.113.7", "2001:db8:7::/48"]
    assert effects(found) == [("branch-7", sources, [], text(NOW - HOUR))]
    assert (found["dry_run"], found["peer"]["state"]) == (True, "revoked")
    assert found["impact"] | {"effects": []} == {
        "peers_cut": 1,
        "peers_cut_seen": 1,
        "peers_let_in": 0,
        "strangers_cut": 0,
        "strangers_let_in": 0,
        "exact": True,
        "effects": [],
        "strangers": [],
        "unknown": [],
    }


def test_what_another_peer_covers_is_not_cut_off(hub: Service) -> None:
    """At that gateway, in its validity, with the same prefix or a wider one."""
    hub.add_gateway("b", addresses=["198.51.100.2"])
    sources = ["203.0.113.7", "203.0.113.64/27", "192.0.2.1", "192.0.2.2", "192.0.2.3"]
    number = hub.add_peer(sources=sources)
    hub.add_peer(name="wider", sources=["203.0.112.0/23"])
    hub.add_peer(name="narrower", sources=["203.0.113.64/28"])
    hub.add_peer(name="ended", sources=["192.0.2.1"], valid_until=text(NOW + WEEK))
    hub.add_peer(name="elsewhere", gateway="b", sources=["192.0.2.2"])
    hub.request_peer(name="pending", sources=["192.0.2.3"])
    hub.clock.pass_time(WEEK)
    (effect,) = effects(ask(hub, number, "revoke", CLOSED))
    assert effect[1] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]


def test_an_edit_says_both(hub: Service) -> None:
    number = hub.add_peer(sources=["203.0.113.7", "203.0.113.8"])
    hub.add_peer(name="other", sources=["192.0.2.0/28"])
    body = {"sources": ["203.0.113.8", "192.0.2.1", "192.0.2.16"]}
    found = ask(hub, number, "edit", body)
    assert effects(found) == [("branch-7", ["203.0.113.7"], ["192.0.2.16"], None)]
    assert effects(ask(hub, number, "edit", {"purpose": "Other"})) == []
    # Split in two it is the same, and so it is put together.
    assert effects(ask(hub, number, "edit", {"sources": ["203.0.113.0/28"]})) == [
        ("branch-7", [], ["203.0.113.0/28"], None)
    ]


def test_an_approval_says_who_is_let_in(hub: Service) -> None:
    number = hub.request_peer(valid_from=text(NOW + WEEK))
    found = ask(hub, number, "approve", role=Role.APPROVER)
    assert effects(found) == [("branch-7", [], ["203.0.113.7"], None)]
    assert found["peer"]["decided_by"] == "a-approver"
    hub.act(number, "approve")
    hub.act(number, "propose", {"sources": ["203.0.113.9"]})
    assert effects(ask(hub, number, "grant"))[0][1:3] == (["203.0.113.7"], ["203.0.113.9"])


def test_it_is_refused_where_the_change_would_be(hub: Service) -> None:
    number = hub.request_peer()
    path = f"/v1/peers/{number}"
    for action, headers, status in (
        ("revoke", {}, 409),
        ("approve", {"If-Match": '"9"'}, 412),
        ("approve", {"If-Match": '"1"'}, 200),
    ):
        answer = hub.admin.post(f"{path}/{action}?dry_run=true", json=CLOSED, headers=headers)
        assert answer.status_code == status
    hub.admin.patch("/v1/rules", json={"four_eyes": True}, headers={"If-Match": "*"})
    assert hub.admin.post(f"{path}/approve?dry_run=true").status_code == 403
    assert hub.clients[Role.REGISTRAR].post(f"{path}/approve?dry_run=true").status_code == 403


def test_a_policy_says_who_is_cut_off_the_last_seen_first(hub: Service) -> None:
    names = ("early", "never", "late", "renamed", "stays")
    for number, name in enumerate(names, 1):
        hub.add_peer(name=name, sources=[f"203.0.113.{number}"])
    tell(hub, "edge-1", (NOW - 5 * HOUR, [1, 4]), (NOW - HOUR, [3, 5]))
    document = {
        "gateways": [gateway()],
        "peers": [
            peer(name="other-name", sources=["203.0.113.4"]),
            peer(name="stays", sources=["203.0.113.5"]),
            peer(name="new", sources=["203.0.113.9"]),
        ],
    }
    dry = hub.admin.put("/v1/policy?dry_run=true", json=document).json()
    assert effects(dry) == [
        ("late", ["203.0.113.3"], [], text(NOW - HOUR)),
        ("early", ["203.0.113.1"], [], text(NOW - 5 * HOUR)),
        ("never", ["203.0.113.2"], [], None),
        ("new", [], ["203.0.113.9"], None),
    ]
    assert [each["id"] for each in dry["impact"]["effects"]] == [3, 1, 2, None]
    assert (dry["impact"]["peers_cut"], dry["impact"]["peers_cut_seen"]) == (3, 2)
    wet = hub.admin.put("/v1/policy", json=document, headers={"If-Match": "*"})
    assert wet.json()["impact"] is None
