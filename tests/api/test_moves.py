"""An owner moves the sources of its own peer, and gets nowhere else."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.records import Role
from api.settings import Settings
from policy.prefixes import parse_trusted
from tests.api.bodies import NOW, gateway, peer, text
from tests.api.client import Client
from tests.api.conftest import Service
from tests.api.test_concurrency import at_once
from tests.api.test_events import told
from tests.api.test_import import POLICY, counts, policy_lines

ANY = {"If-Match": "*"}
SITE = "203.0.113.99"
INSIDE = "a source of the owner's choice is within 203.0.113.0/24, 2001:db8::/32"


@pytest.fixture
def hub(service: Service) -> Service:
    service.add_gateway()
    return service


def site(service: Service, bounds: dict[str, Any] | None = None, **fields: object) -> int:
    """A peer whose owner may move often."""
    return service.add_peer(bounds={"interval_seconds": 0} | (bounds or {}), **fields)


def sources(service: Service, number: int = 1) -> list[str]:
    found: list[str] = service.admin.get(f"/v1/peers/{number}").json()["sources"]
    return found


def move(owner: Client, *wanted: str, number: int = 1) -> httpx.Response:
    path = f"/v1/peers/{number}/sources"
    return owner.put(path, json={"sources": list(wanted)}, headers=ANY)


def here(owner: Client, number: int = 1) -> httpx.Response:
    return owner.post(f"/v1/peers/{number}/here")


def refusal(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["type"].rpartition("/")[2]


# Calls


def test_a_call_gives_the_address_that_it_comes_from(hub: Service) -> None:
    """To routers at once; the next one takes its place, and leaves the other family alone."""
    site(hub)
    hub.owner(1)
    token = hub.admin.post("/v1/peers/1/token", json={}).json()["token"]

    def call(address: str) -> list[str]:
        answer = here(hub.nobody.with_token(token, address))
        assert answer.status_code == 200, answer.text
        assert answer.headers["ETag"] == hub.admin.get("/v1/peers/1").headers["ETag"]
        return answer.json()["sources"]  # type: ignore[no-any-return]

    before = hub.revision
    assert call(SITE) == ["203.0.113.7", SITE]
    assert hub.revision == before + 1
    (listed,) = hub.agent.get("/v1/allowlist").json()["peers"]
    assert listed["sources"] == ["203.0.113.7", SITE]
    assert call("203.0.113.100") == ["203.0.113.7", "203.0.113.100"]
    # A third one, of IPv6, has no room; the only IPv6 source would give way, but there is none.
    six = here(hub.nobody.with_token(token, "2001:db8:9:9::1"))
    assert refusal(six) == (422, "beyond-bounds")
    told_ = "3 sources with 2001:db8:9:9::/64: at most 2 are the owner's to choose, so drop 1 first"
    assert told_ in six.json()["detail"]
    bounds = {"sources": 3, "interval_seconds": 0}
    assert hub.admin.patch("/v1/peers/1", json={"bounds": bounds}, headers=ANY).is_success
    assert call("2001:db8:9:9::1") == ["203.0.113.7", "203.0.113.100", "2001:db8:9:9::/64"]
    assert call("203.0.113.101") == ["203.0.113.7", "2001:db8:9:9::/64", "203.0.113.101"]
    assert call("2001:db8:9:8::1") == ["203.0.113.7", "203.0.113.101", "2001:db8:9:8::/64"]
    assert hub.admin.get("/v1/peers/1").json()["here"] == ["203.0.113.101", "2001:db8:9:8::/64"]


def test_a_call_from_the_same_place_changes_nothing(hub: Service) -> None:
    """And is never too often."""
    site(hub, {"interval_seconds": 3600})
    owner = hub.owner(1)
    first = here(owner)
    before = hub.revision
    for _ in range(3):
        again = here(owner)
        assert (again.status_code, again.json()) == (200, first.json())
        assert again.headers["ETag"] == first.headers["ETag"]
    # Nor does a move to where it is, in whatever order.
    same = move(owner, SITE, "203.0.113.7")
    assert (same.status_code, same.json()) == (200, first.json())
    assert hub.revision == before


def test_where_there_is_no_room_the_only_source_gives_way(hub: Service) -> None:
    site(hub, {"sources": 1})
    assert here(hub.owner(1)).json()["sources"] == [SITE]
    site(hub, {"sources": 2}, name="two", sources=["192.0.2.1", "192.0.2.2"])
    assert refusal(here(hub.owner(2), 2)) == (422, "beyond-bounds")
    assert sources(hub, 2) == ["192.0.2.1", "192.0.2.2"]


def test_who_is_back_where_an_approver_put_it_needs_no_other_source(hub: Service) -> None:
    site(hub, sources=["203.0.113.0/28"])
    hub.owner(1)
    assert here(hub.owner(1, "192.0.2.1")).json()["sources"] == ["203.0.113.0/28", "192.0.2.1"]
    assert here(hub.owner(1, "203.0.113.3")).json()["sources"] == ["203.0.113.0/28"]


def test_the_length_for_ipv6_is_the_approvers(hub: Service) -> None:
    site(hub, {"ipv6_length": 48, "here_ipv6_length": 56})
    assert here(hub.owner(1, "2001:db8:9:9ff::1")).json()["sources"][1] == "2001:db8:9:900::/56"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.1.1", "100.64.0.1", "169.254.1.1", "fe80::1", "fd00::1"],
)
def test_an_address_that_nobody_has_on_the_internet_is_refused(hub: Service, address: str) -> None:
    site(hub)
    refused = here(hub.owner(1, address))
    assert refusal(refused) == (422, "beyond-bounds")
    assert "nobody on the internet" in refused.json()["errors"][0]["rule"]
    assert sources(hub) == ["203.0.113.7"]


def test_a_call_through_a_proxy_gives_the_address_behind_it(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    service = start(replace(settings, trusted_proxies=(parse_trusted("192.0.2.20"),)))
    service.add_gateway()
    site(service)
    proxy = service.owner(1, "192.0.2.20")
    path = "/v1/peers/1/here"
    told = proxy.post(path, headers={"X-Forwarded-For": f"198.51.100.9, {SITE}"})
    assert told.json()["sources"] == ["203.0.113.7", SITE]
    for headers in ({}, {"X-Forwarded-For": "unknown"}):
        assert refusal(proxy.post(path, headers=headers)) == (422, "proxy")
    # Nobody else is believed.
    liar = service.owner(1, "203.0.113.50").post(path, headers={"X-Forwarded-For": "192.0.2.66"})
    assert liar.json()["sources"] == ["203.0.113.7", "203.0.113.50"]


def test_a_call_that_is_sent_twice_is_one(hub: Service) -> None:
    site(hub)
    token = hub.admin.post("/v1/peers/1/token", json={}).json()["token"]
    key = {"Idempotency-Key": "k"}

    def call(address: str) -> httpx.Response:
        return hub.nobody.with_token(token, address).post("/v1/peers/1/here", headers=key)

    first = call(SITE)
    assert call(SITE).json() == first.json()
    assert refusal(call("203.0.113.100")) == (422, "key-reused")


def test_of_many_calls_at_once_each_family_ends_with_one(hub: Service) -> None:
    site(hub)
    token = hub.admin.post("/v1/peers/1/token", json={}).json()["token"]
    callers = [hub.nobody.with_token(token, f"203.0.113.{100 + n}") for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        codes = [answer.status_code for answer in pool.map(here, callers)]
    assert codes == [200] * 8
    first, last = sources(hub)
    assert first == "203.0.113.7"
    assert last in {f"203.0.113.{100 + n}" for n in range(8)}


# Moves


def test_all_sources_are_moved_at_once(hub: Service) -> None:
    site(hub)
    owner = hub.owner(1)
    assert here(owner).status_code == 200
    moved = move(owner, "203.0.113.8", "2001:db8:7::/64")
    assert moved.json()["sources"] == ["203.0.113.8", "2001:db8:7::/64"]
    assert moved.json()["here"] == []
    assert moved.json()["moved"] == text(NOW)


def test_a_move_is_for_the_version_that_was_read(hub: Service) -> None:
    site(hub)
    owner = hub.owner(1)
    etag = owner.get("/v1/peers/1").headers["ETag"]

    def ask(number: int, **headers: str) -> httpx.Response:
        body = {"sources": [f"203.0.113.{number}"]}
        return owner.put("/v1/peers/1/sources", json=body, headers=headers)

    assert ask(1).status_code == 428
    codes = at_once(lambda n: ask(100 + n, **{"If-Match": etag}))
    assert codes == [200] + [412] * 7


@pytest.mark.parametrize(
    ("wanted", "field", "rule", "told"),
    [
        (
            ["203.0.113.8", "203.0.113.9", "203.0.113.10"],
            "sources",
            "at most 2",
            "3 sources: at most 2 are the owner's to choose, so drop 1 first",
        ),
        (
            ["203.0.113.8/31"],
            "sources[0]",
            "/32 or longer",
            "203.0.113.8/31: an IPv4 source of the owner's choice is /32 or longer",
        ),
        (
            ["203.0.113.8", "2001:db8:7::/63"],
            "sources[1]",
            "/64 or longer",
            "2001:db8:7::/63: an IPv6 source of the owner's choice is /64 or longer",
        ),
        (["10.0.0.1"], "sources[0]", "nobody on the internet", "so name the one that gateways see"),
        (["198.51.100.1"], "sources[0]", INSIDE, f"198.51.100.1: {INSIDE}"),
        (["2001:db9::/64"], "sources[0]", INSIDE, f"2001:db9::/64: {INSIDE}"),
        (["::ffff:10.0.0.1"], "sources[0]", "write the IPv4 one", ""),
        ([], "sources", "at least one", ""),
    ],
)
def test_what_is_beyond_the_bounds_is_refused(
    hub: Service, wanted: list[str], field: str, rule: str, told: str
) -> None:
    """And told what is asked for, what the bounds are, and what to do; once is enough."""
    site(hub, {"within": ["203.0.113.0/24", "2001:db8::/32"]})
    before = hub.revision
    refused = move(hub.owner(1), *wanted)
    assert refused.status_code == 422
    assert [each["field"] for each in refused.json()["errors"]] == [field]
    assert rule in refused.json()["errors"][0]["rule"]
    if told:
        detail = refused.json()["detail"]
        assert detail.startswith("this is beyond the bounds of peer 1: ")
        assert detail.endswith(". An approver may set others: peergate peer bounds 1")
        assert told in detail
    assert hub.revision == before


def test_of_much_that_is_beyond_the_bounds_the_first_is_told(hub: Service) -> None:
    site(hub, {"sources": 4})
    refused = move(hub.owner(1), *(f"10.0.0.{n}" for n in range(1, 6)))
    assert len(refused.json()["errors"]) == 6
    detail = refused.json()["detail"]
    assert "drop 1 first; 10.0.0.1: nobody" in detail
    assert ("10.0.0.2:" in detail, "10.0.0.3:" in detail) == (True, False)
    assert "; and 3 more. An approver" in detail


def test_what_an_approver_gave_may_stay(hub: Service) -> None:
    """Though it is wider than the owner's choice; once gone, it does not come back."""
    site(hub, sources=["203.0.113.0/28"])
    owner = hub.owner(1)
    assert move(owner, "203.0.113.0/28", "192.0.2.1").is_success
    assert move(owner, "192.0.2.1").is_success
    assert refusal(move(owner, "203.0.113.0/28", "192.0.2.1")) == (422, "beyond-bounds")


def test_too_often_is_told_when_to_come_again(hub: Service) -> None:
    site(hub, {"interval_seconds": 60})
    owner = hub.owner(1)
    assert move(owner, "203.0.113.8").is_success
    hub.clock.pass_time(timedelta(seconds=20.5))
    for refused in (move(owner, "203.0.113.9"), here(owner)):
        assert refusal(refused) == (429, "too-many-requests")
        assert refused.headers["Retry-After"] == "40"
        until = text(NOW + timedelta(seconds=60))
        assert refused.json()["detail"] == (
            f"the sources of peer 1 are moved every 60 s at most, and were at {text(NOW)}: wait "
            f"until {until}, 40 s from now, or have an approver set a shorter time: peergate peer "
            "bounds 1"
        )
    assert sources(hub) == ["203.0.113.8"]
    hub.clock.pass_time(timedelta(seconds=39.5))
    assert move(owner, "203.0.113.9").is_success


# Bounds


def test_without_bounds_there_is_no_owner(hub: Service) -> None:
    hub.add_peer()
    refused = hub.admin.post("/v1/peers/1/token", json={})
    assert refusal(refused) == (409, "no-bounds")
    assert hub.admin.patch("/v1/peers/1", json={"bounds": {}}, headers=ANY).json()["bounds"] == {
        "sources": 2,
        "ipv4_length": 32,
        "ipv6_length": 64,
        "here_ipv6_length": 64,
        "interval_seconds": 60,
        "within": [],
    }
    owner = hub.owner(1)
    assert here(owner).is_success
    assert hub.admin.patch("/v1/peers/1", json={"bounds": None}, headers=ANY).is_success
    assert here(owner).status_code == 401


@pytest.mark.parametrize(
    ("bounds", "field"),
    [
        ({"sources": 0}, "bounds.sources"),
        ({"ipv4_length": 7}, "bounds.ipv4_length"),
        ({"here_ipv6_length": 48}, "bounds.here_ipv6_length"),
        ({"within": ["203.0.113.7/24"]}, "bounds.within[0]"),
        ({"often": 1}, "bounds.often"),
    ],
)
def test_bounds_that_are_none_are_refused(hub: Service, bounds: object, field: str) -> None:
    refused = hub.admin.post("/v1/peers", json=peer(bounds=bounds))
    assert [each["field"] for each in refused.json()["errors"]] == [field]


def test_bounds_that_two_approved_outlive_the_four_eyes_rule(hub: Service) -> None:
    assert hub.admin.patch("/v1/rules", json={"four_eyes": True}, headers=ANY).is_success
    approver = hub.clients[Role.APPROVER]
    inside = ["203.0.113.0/24"]
    body = peer(bounds={"interval_seconds": 0, "within": inside})
    number = hub.clients[Role.REGISTRAR].post("/v1/peers", json=body).json()["id"]
    assert approver.post(f"/v1/peers/{number}/approve", headers=ANY).is_success
    assert here(hub.owner(number)).json()["sources"] == ["203.0.113.7", SITE]
    # But who sets others alone would let in whom they like.
    wider = {"bounds": {"ipv4_length": 8, "within": inside}}
    alone = approver.patch(f"/v1/peers/{number}", json=wider, headers=ANY)
    assert refusal(alone) == (403, "four-eyes")
    proposed = approver.post(f"/v1/peers/{number}/propose", json=wider, headers=ANY)
    assert proposed.json()["proposal"]["fields"]["bounds"]["sources"] == 2
    assert refusal(approver.post(f"/v1/peers/{number}/grant", headers=ANY)) == (403, "four-eyes")
    granted = hub.admin.post(f"/v1/peers/{number}/grant", headers=ANY)
    assert granted.json()["bounds"]["ipv4_length"] == 8
    taken = approver.patch(f"/v1/peers/{number}", json={"bounds": None}, headers=ANY)
    assert taken.is_success


def test_with_four_eyes_no_token_lets_in_what_one_alone_chose(hub: Service) -> None:
    """Whoever makes an owner's token may use it."""
    site(hub)
    assert hub.admin.patch("/v1/rules", json={"four_eyes": True}, headers=ANY).is_success
    approver = hub.clients[Role.APPROVER]
    anywhere = {"bounds": {"interval_seconds": 0}}
    path = "/v1/peers/1"
    for refused in (
        approver.post(f"{path}/token", json={}),
        approver.post(f"{path}/propose", json={"bounds": {"sources": 9}}, headers=ANY),
        hub.clients[Role.REGISTRAR].post("/v1/peers", json=peer(name="new", **anywhere)),
    ):
        assert refused.status_code == 422
        assert [each["field"] for each in refused.json()["errors"]] == ["bounds.within"]
    within = {"bounds": {"interval_seconds": 0, "within": ["203.0.113.0/24"]}}
    assert approver.post(f"{path}/propose", json=within, headers=ANY).is_success
    assert hub.admin.post(f"{path}/grant", headers=ANY).is_success
    made = approver.post(f"{path}/token", json={})
    owner = hub.nobody.with_token(made.json()["token"])
    assert refusal(move(owner, "203.0.113.5", "8.8.8.8")) == (422, "beyond-bounds")
    assert move(owner, "203.0.113.5").is_success


def test_a_policy_leaves_alone_what_an_owner_moves(hub: Service) -> None:
    site(hub)
    hub.add_peer(name="fixed")
    assert here(hub.owner(1)).is_success
    document = {
        "gateways": [gateway()],
        "peers": [peer(sources=["192.0.2.1"], owner="Others"), peer(name="fixed")],
    }
    applied = hub.admin.put("/v1/policy", json=document, headers=ANY)
    (change,) = applied.json()["changes"]
    assert list(change["fields"]) == ["owner"]
    assert sources(hub) == ["203.0.113.7", SITE]
    lines = policy_lines(gateway(), peers=(peer(sources=["192.0.2.1"], owner="They"),))
    imported = hub.admin.post(POLICY, content=lines, headers=ANY)
    assert counts(imported) == {"changed": 1, "revoked": 1}
    assert sources(hub) == ["203.0.113.7", SITE]


def test_a_move_between_plan_and_change_is_no_change_of_the_policy(hub: Service) -> None:
    """With some thousands of sites that move there would be one each time."""
    site(hub)
    owner = hub.owner(1)
    then = hub.revision
    hub.add_peer(name="fixed")
    seen = {"If-Match": hub.admin.get("/v1/policy").headers["ETag"]}
    assert here(owner).is_success
    assert move(owner, "203.0.113.8").is_success
    document = {"gateways": [gateway()], "peers": [peer(owner="Others"), peer(name="fixed")]}
    assert hub.admin.put("/v1/policy", json=document, headers=seen).is_success
    assert sources(hub) == ["203.0.113.8"]
    body = {"to_revision": then}
    planned = hub.admin.post("/v1/rollback", json=body, params={"dry_run": True})
    assert move(owner, "203.0.113.9").is_success
    seen = {"If-Match": planned.headers["ETag"]}
    assert hub.admin.post("/v1/rollback", json=body, headers=seen).is_success
    assert sources(hub) == ["203.0.113.9"]
    # An approver's change of the same is one.
    seen = {"If-Match": hub.admin.get("/v1/policy").headers["ETag"]}
    hub.admin.patch("/v1/peers/1", json={"sources": ["192.0.2.9"]}, headers=ANY)
    assert hub.admin.put("/v1/policy", json=document, headers=seen).status_code == 412


def test_a_move_is_an_event_of_its_own(hub: Service) -> None:
    """Neither a preview nor a call from where it is registered is one."""
    site(hub)
    owner = hub.owner(1)
    begun = len(told(hub))
    assert owner.post("/v1/peers/1/here", params={"dry_run": True}).is_success
    for answer in (here(owner), here(owner), move(owner, "203.0.113.8")):
        assert answer.is_success
    hub.admin.patch("/v1/peers/1", json={"sources": ["192.0.2.9"]}, headers=ANY)
    *moves, edited = told(hub)[begun:]
    assert [(e["type"], e["subject"], e["author"]) for e in moves] == [
        ("peer.moved", "1", "branch-7")
    ] * 2
    assert [e["content"]["sources"] for e in moves] == [["203.0.113.7", SITE], ["203.0.113.8"]]
    assert edited["type"] == "peer.edited"


def test_the_audit_trail_names_who_moved_and_from_where(hub: Service) -> None:
    site(hub)
    here(hub.owner(1))
    record = hub.admin.get("/v1/audit").json()["items"][0]
    assert (record["action"], record["subject"]) == ("peer.move", "peer/1")
    assert (record["actor"]["role"], record["from"]) == ("owner", SITE)
    assert record["after"]["sources"] == ["203.0.113.7", SITE]
