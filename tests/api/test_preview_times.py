"""A preview knows when sources pass: a registration's validity cuts off and lets in as well."""

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.api.bodies import NOW, WEEK, gateway, peer, text
from tests.api.conftest import Service
from tests.api.strangers import seen, told
from tests.api.test_sightings import tell

HOUR = timedelta(hours=1)
DRY = {"dry_run": "true"}
SEVEN, NINE = "203.0.113.7", "203.0.113.9"
SOON, LATER, LAST = text(NOW + WEEK), text(NOW + 2 * WEEK), text(NOW + 3 * WEEK)

# Cut, let in, from and until.
Seen = tuple[list[str], list[str], str | None, str | None]


@pytest.fixture
def hub(service: Service) -> Service:
    service.add_gateway()
    return service


def impact(service: Service, method: str, path: str, body: object, **query: str) -> dict[str, Any]:
    before = service.revision
    sent: dict[str, Any] = {"content": body} if isinstance(body, str) else {"json": body}
    answer = service.admin.request(method, path, params=DRY | query, **sent)
    assert answer.status_code == 200, answer.text
    assert service.revision == before
    found: dict[str, Any] = answer.json()["impact"]
    return found


def effects(found: dict[str, Any]) -> list[Seen]:
    return [
        (each["cut"], each["let_in"], each["effective_from"], each["effective_until"])
        for each in found["effects"]
    ]


def numbers(found: dict[str, Any]) -> tuple[int, int, int, bool]:
    return found["peers_cut"], found["peers_cut_seen"], found["peers_let_in"], found["exact"]


def edit(service: Service, number: int, **fields: object) -> dict[str, Any]:
    return impact(service, "PATCH", f"/v1/peers/{number}", fields)


CUT_UNTIL: Seen = ([SEVEN], [], None, SOON)
CUT_FROM: Seen = ([SEVEN], [], SOON, None)


def test_a_start_that_is_still_to_come_cuts_off_until_then(hub: Service) -> None:
    number = hub.add_peer()
    tell(hub, "edge-1", (NOW - HOUR, [number]))
    found = edit(hub, number, valid_from=SOON)
    assert (effects(found), numbers(found)) == ([CUT_UNTIL], (1, 1, 0, True))
    assert found["effects"][0]["last_seen"] == text(NOW - HOUR)
    path = f"/v1/peers/{number}"
    assert effects(impact(hub, "POST", f"{path}/propose", {"valid_from": SOON})) == [CUT_UNTIL]
    hub.act(number, "propose", {"valid_from": SOON})
    assert effects(impact(hub, "POST", f"{path}/grant", None)) == [CUT_UNTIL]
    assert effects(edit(hub, number, valid_from=text(NOW - HOUR))) == []


def test_an_end_that_comes_earlier_cuts_off_from_then(hub: Service) -> None:
    number = hub.add_peer(valid_until=LATER)
    found = edit(hub, number, valid_until=SOON)
    assert (effects(found), numbers(found)) == ([CUT_FROM], (1, 0, 0, True))
    path = f"/v1/peers/{number}"
    assert effects(impact(hub, "POST", f"{path}/propose", {"valid_until": SOON})) == [CUT_FROM]
    # Both at once, and a source less.
    found = edit(hub, number, sources=[NINE], valid_until=LAST)
    assert effects(found) == [([SEVEN], [NINE], None, None)]
    found = edit(hub, number, sources=[SEVEN, NINE], valid_from=text(NOW + HOUR), valid_until=SOON)
    assert effects(found) == [
        ([SEVEN], [], None, text(NOW + HOUR)),
        ([SEVEN], [], SOON, None),
        ([], [NINE], text(NOW + HOUR), None),
    ]
    assert numbers(found) == (1, 0, 1, True)


def test_a_renewal_lets_in_from_where_it_ended(hub: Service) -> None:
    number = hub.add_peer(valid_until=SOON)
    hub_renew = f"/v1/peers/{number}/renew"
    found = impact(hub, "POST", hub_renew, {"valid_until": LAST})
    assert (effects(found), numbers(found)) == ([([], [SEVEN], SOON, None)], (0, 0, 1, True))
    hub.clock.pass_time(WEEK)
    found = impact(hub, "POST", hub_renew, {"valid_until": LAST})
    assert effects(found) == [([], [SEVEN], None, None)]


def test_of_one_for_later_its_start_is_told(hub: Service) -> None:
    number = hub.request_peer(valid_from=SOON)
    found = impact(hub, "POST", f"/v1/peers/{number}/approve", None)
    assert effects(found) == [([], [SEVEN], SOON, None)]
    hub.act(number, "approve")
    assert effects(edit(hub, number, valid_from=LATER)) == [([SEVEN], [], SOON, LATER)]
    assert effects(edit(hub, number, valid_from=None)) == [([], [SEVEN], None, None)]
    found = impact(hub, "POST", f"/v1/peers/{number}/revoke", {"reason": "closed"})
    assert effects(found) == [CUT_FROM]


def test_a_rollback_that_takes_it_back_says_so(hub: Service) -> None:
    number = hub.add_peer()
    then = hub.revision
    path = f"/v1/peers/{number}"
    hub.admin.patch(path, json={"valid_from": SOON}, headers={"If-Match": "*"})
    found = impact(hub, "POST", "/v1/rollback", {"to_revision": then})
    assert (effects(found), numbers(found)) == ([([], [SEVEN], None, None)], (0, 0, 1, True))
    later = hub.revision
    hub.admin.patch(path, json={"valid_from": None}, headers={"If-Match": "*"})
    found = impact(hub, "POST", "/v1/rollback", {"to_revision": later})
    assert effects(found) == [CUT_UNTIL]


@pytest.mark.parametrize(
    ("fields", "expected"), [({"valid_from": SOON}, CUT_UNTIL), ({"valid_until": SOON}, CUT_FROM)]
)
def test_policies_and_imports_say_the_same(
    hub: Service, fields: dict[str, str], expected: Seen
) -> None:
    hub.add_peer()
    wanted = peer(**fields)
    document = {"gateways": [gateway()], "peers": [wanted]}
    lines = "".join(json.dumps(each) + "\n" for each in ({"gateway": gateway()}, {"peer": wanted}))
    for found in (
        impact(hub, "PUT", "/v1/policy", document),
        impact(hub, "POST", "/v1/policy/import", lines),
        impact(hub, "POST", "/v1/peers/import", json.dumps(wanted) + "\n", mode="replace"),
    ):
        assert (effects(found), numbers(found)) == ([expected], (1, 0, 0, True))


def test_what_another_peer_covers_it_covers_while_it_is_valid(hub: Service) -> None:
    """Also one that is changed with it, and together with others."""
    number = hub.add_peer()
    closed = f"/v1/peers/{number}/revoke", {"reason": "closed"}
    hub.add_peer(name="wider", sources=["203.0.113.0/24"], valid_from=SOON)
    assert effects(impact(hub, "POST", *closed)) == [CUT_UNTIL]
    hub.add_peer(name="early", valid_until=text(NOW + 2 * HOUR))
    assert effects(impact(hub, "POST", *closed)) == [([SEVEN], [], text(NOW + 2 * HOUR), SOON)]
    hub.add_peer(name="between", valid_from=text(NOW + HOUR), valid_until=LATER)
    assert effects(impact(hub, "POST", *closed)) == []
    inside = {"valid_from": text(NOW + 3 * HOUR), "valid_until": text(NOW + 4 * HOUR)}
    hub.add_peer(name="inside", **inside)
    assert effects(impact(hub, "POST", *closed)) == []
    document = {
        "gateways": [gateway()],
        "peers": [peer(name="other", valid_from=SOON), peer(name="again", valid_until=LATER)],
    }
    assert [each for each in effects(impact(hub, "PUT", "/v1/policy", document)) if each[0]] == [
        (["203.0.113.0/24"], [], SOON, None)
    ]


def test_strangers_are_let_in_by_a_start_that_comes_earlier_alone(hub: Service) -> None:
    """One that is registered for later is none that passes now."""
    number = hub.add_peer(sources=[NINE], valid_from=SOON, valid_until=LATER)
    told(hub, seen(NINE))

    def knocks(found: dict[str, Any]) -> list[tuple[str, str]]:
        return [(each["source"], each["becomes"]) for each in found["strangers"]]

    assert knocks(edit(hub, number, valid_from=None)) == [(NINE, "registered")]
    assert knocks(edit(hub, number, valid_until=LAST)) == []
    assert knocks(edit(hub, number, valid_from=text(NOW + WEEK + HOUR))) == []
    path = "/v1/gateways/hub"
    assert knocks(impact(hub, "PATCH", path, {"mode": "monitor"})) == [(NINE, "passed")]
    hub.admin.patch(path, json={"mode": "monitor"}, headers={"If-Match": "*"})
    assert knocks(impact(hub, "PATCH", path, {"mode": "enforce"})) == [(NINE, "dropped")]
    hub.clock.pass_time(WEEK)
    assert knocks(impact(hub, "PATCH", path, {"mode": "enforce"})) == []
