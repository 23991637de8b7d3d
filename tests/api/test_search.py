"""Peers filtered and sorted, page by page, against a naive model."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from ipaddress import ip_network
from typing import Any

import pytest
from sqlalchemy import event

from api.records import PeerFilter, Place, Sort, State
from api.store import search
from tests.api.bodies import NOW, WEEK, peer, text
from tests.api.conftest import Service

Item = dict[str, Any]
ANY = {"If-Match": "*"}


@pytest.fixture
def filled(service: Service) -> Service:
    service.add_gateway()
    service.add_gateway("spoke", addresses=["198.51.100.2"])
    nets = [
        ["203.0.113.0/24"],
        ["203.0.113.7", "2001:db8:7::/48"],
        ["203.0.113.64/27"],
        ["203.0.0.0/16", "192.0.2.1"],
        ["2001:db8:7:1::/64"],
        ["2001:db8:8::1"],
        ["198.51.100.0/25", "198.51.100.128/25"],
    ]
    for number, found in enumerate(nets):
        fields: Item = {
            "name": ("b-", "B-", "a.")[number % 3] + str(number),
            "gateway": "spoke" if number % 4 == 3 else "hub",
            "owner": f"Team {number % 2}",
            "contact": f"team{number % 3}@example.net",
            "sources": found,
        }
        if number % 2:
            fields["valid_until"] = text(NOW + WEEK - timedelta(days=number))
        made = service.request_peer(**fields)
        if number % 3:
            service.act(made, "approve")
        service.clock.pass_time(timedelta(minutes=1))
    service.act(2, "revoke", {"reason": "over"})
    service.clock.pass_time(timedelta(minutes=1))
    return service


def every(service: Service, limit: int = 500, **query: str) -> list[Item]:
    """All pages."""
    items: list[Item] = []
    cursor: dict[str, str] = {}
    while True:
        page = service.admin.get("/v1/peers", params={**query, **cursor, "limit": limit})
        assert page.status_code == 200, page.text
        assert len(page.json()["items"]) <= limit
        items += page.json()["items"]
        if page.json()["next"] is None:
            return items
        cursor = {"cursor": page.json()["next"]}


def overlaps(item: Item, prefix: str) -> bool:
    wanted = ip_network(prefix)
    nets = map(ip_network, item["sources"])
    return any(net.version == wanted.version and net.overlaps(wanted) for net in nets)


WEEK_END = text(NOW + timedelta(days=4))
LATER = text(NOW + timedelta(minutes=3))
FILTERS: list[tuple[dict[str, str], Callable[[Item], bool]]] = [
    ({"gateway": "spoke"}, lambda e: e["gateway"] == "spoke"),
    ({"gateway": "nowhere"}, lambda e: False),
    ({"state": "pending"}, lambda e: e["state"] == "pending"),
    (
        {"state": "active", "gateway": "hub"},
        lambda e: (e["state"], e["gateway"]) == ("active", "hub"),
    ),
    ({"owner": "Team 1"}, lambda e: e["owner"] == "Team 1"),
    ({"owner": "Team"}, lambda e: False),
    ({"contact": "team2@example.net"}, lambda e: e["contact"] == "team2@example.net"),
    ({"name_prefix": "b-"}, lambda e: e["name"].startswith("b-")),
    ({"name_prefix": "B"}, lambda e: e["name"].startswith("B")),
    ({"name_prefix": "a.2"}, lambda e: e["name"] == "a.2"),
    ({"valid_until_before": WEEK_END}, lambda e: (e["valid_until"] or "9") < WEEK_END),
    ({"valid_until_after": WEEK_END}, lambda e: (e["valid_until"] or "") >= WEEK_END),
    ({"created_since": LATER}, lambda e: e["created"] >= LATER),
    ({"changed_since": LATER}, lambda e: e["changed"] >= LATER),
    *(
        ({"source": prefix}, lambda e, prefix=prefix: overlaps(e, prefix))
        for prefix in (
            "203.0.113.7",
            "203.0.113.65",
            "203.0.113.0/24",
            "203.0.113.64/28",
            "203.0.0.0/8",
            "200.0.0.0/6",
            "0.0.0.0/0",
            "192.0.2.0/24",
            "192.0.2.2",
            "198.51.100.0/24",
            "2001:db8:7:1::5",
            "2001:db8:7::/48",
            "2001:db8::/32",
            "2001:db8:8::2",
            "::/0",
        )
    ),
]


def test_a_filter_finds_what_fits_and_no_more(filled: Service) -> None:
    items = every(filled)
    for query, fits in FILTERS:
        assert every(filled, 500, **query) == [each for each in items if fits(each)], query


def test_the_status_counts_what_the_filters_find(filled: Service) -> None:
    filled.add_peer(name="later", valid_from=text(NOW + WEEK), valid_until=None)
    counts = filled.admin.get("/v1/status").json()["peers"]
    assert set(counts) == set(State)
    assert counts == {state: len(every(filled, state=state)) for state in State}


def test_what_changed_is_found_by_when(filled: Service) -> None:
    assert [each["id"] for each in every(filled, changed_since=text(filled.clock.now))] == []
    now = text(filled.clock.now)
    done = filled.admin.patch("/v1/peers/3", json={"purpose": "Other"}, headers=ANY)
    assert done.json()["changed"] == now
    assert [each["id"] for each in every(filled, changed_since=now)] == [3]
    filled.clock.pass_time(timedelta(minutes=1))
    same = filled.admin.patch("/v1/peers/3", json={"purpose": "Other"}, headers=ANY)
    assert same.json()["changed"] == now


def test_sources_that_were_moved_are_found_where_they_are(filled: Service) -> None:
    moved = {"sources": ["192.0.2.77"]}
    assert filled.admin.patch("/v1/peers/3", json=moved, headers=ANY).status_code == 200
    assert [each["id"] for each in every(filled, source="192.0.2.77")] == [3]
    assert 3 not in [each["id"] for each in every(filled, source="203.0.113.65")]


@pytest.mark.parametrize("minus", ["", "-"])
def test_an_order_holds_over_pages(filled: Service, minus: str) -> None:
    def key(item: Item, field: str) -> tuple[Any, ...]:
        value = item[field]
        return (value is None, value or "") if field != "id" else (False, value), item["id"]

    items = every(filled)
    for field in ("id", "name", "valid_until", "created", "changed"):
        expected = sorted(items, key=partial(key, field=field), reverse=bool(minus))
        for limit in (1, 2, 7):
            assert every(filled, limit, sort=minus + field) == expected, (field, limit)


def test_pages_hold_together_whatever_comes_meanwhile(filled: Service) -> None:
    seen: list[str] = []
    cursor: dict[str, str] = {}
    for number in range(20):
        page = filled.admin.get("/v1/peers", params={"sort": "name", "limit": 2, **cursor}).json()
        seen += [each["name"] for each in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
        filled.request_peer(name=f"A-{number}")  # before all of them
    assert seen == sorted(each["name"] for each in every(filled) if each["name"][:2] != "A-")


def cursor_of(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def test_a_cursor_that_we_did_not_make(service: Service) -> None:
    for order, cursor in (
        ("id", "x"),
        ("id", "="),
        ("id", "😀"),
        ("id", "7"),
        ("id", base64.urlsafe_b64encode(b"[" * 300).decode()),
        ("id", cursor_of()),
        ("id", cursor_of("name", False, "a", 1)),
        ("id", cursor_of("id", True, 1, 1)),
        ("id", cursor_of("id", False, 1, "1")),
        ("id", cursor_of("id", False, 1, 2**40)),
        ("id", cursor_of("id", False, 1, True)),
        ("name", cursor_of("name", False, 1, 1)),
        ("name", cursor_of("name", False, "a\0", 1)),
        ("created", cursor_of("created", False, None, 1)),
        ("created", cursor_of("created", False, "x", 1)),
        ("created", cursor_of("created", False, "0001-01-01T00:00:00+09:00", 1)),
    ):
        query = {"sort": order, "cursor": cursor}
        refused = service.admin.get("/v1/peers", params=query)
        assert (refused.status_code, query) == (422, query)
        assert [each["field"] for each in refused.json()["errors"]] == ["cursor"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"sort": "owner"}, "sort"),
        ({"source": "nowhere"}, "source"),
        ({"source": "fe80::1%eth0"}, "source"),
        ({"created_since": "yesterday"}, "created_since"),
        ({"changed_since": "2026-12-01T00:00:00"}, "changed_since"),
        ({"name_prefix": "a b"}, "name_prefix"),
        ({"name": "a"}, "name"),
    ],
)
def test_a_wrong_filter_is_named(service: Service, query: dict[str, str], field: str) -> None:
    refused = service.admin.get("/v1/peers", params=query)
    assert refused.status_code == 422, refused.text
    assert [each["field"] for each in refused.json()["errors"]] == [field]


PLANS = [
    (PeerFilter(source=ip_network("10.0.3.3")), Sort(), None),
    (PeerFilter(source=ip_network("10.0.3.0/30")), Sort("name"), Place("p5", 7)),
    (PeerFilter(), Sort("name"), Place("p5", 7)),
    (PeerFilter(), Sort("valid_until", descending=True), Place(NOW + 2 * WEEK, 7)),
    (PeerFilter(owner="Team 3"), Sort(), Place(5, 5)),
    (PeerFilter(changed_since=NOW + WEEK), Sort("changed"), None),
    (PeerFilter(proposed=True), Sort(), None),
    (PeerFilter(state=State.PENDING), Sort(), None),
]


def test_no_search_reads_all_there_is(service: Service) -> None:
    """By what the database says it would do."""
    service.add_gateway()
    lines = (
        peer(
            name=f"p{number}",
            sources=[f"10.0.{number // 256}.{number % 256}"],
            owner=f"Team {number}",
            valid_until=text(NOW + WEEK + timedelta(minutes=number)),
        )
        for number in range(5000)
    )
    body = "\n".join(map(json.dumps, lines))
    assert service.admin.post("/v1/peers/import", content=body).status_code == 200
    registry = service.app.state.registry
    with registry.store.write() as connection:
        connection.exec_driver_sql("ANALYZE")
    with registry.read() as read:
        connection = read.connection

        def explained(*asked: Any) -> tuple[str, Any]:  # noqa: ANN401
            _, _, statement, parameters, _, _ = asked
            how = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
            return f"{how} {statement}", parameters

        event.listen(connection, "before_cursor_execute", explained, retval=True)

        for wanted, sort, after in PLANS:
            for part in search.parts(wanted, sort, after, NOW):
                plan = "\n".join(str(row) for row in connection.execute(part.limit(10)))
                assert "SCAN peers'" not in plan, plan
                assert "Seq Scan on peers" not in plan, plan


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/peers?owner=", "/v1/peers?contact=", "/v1/audit?actor=", "/v1/audit?subject="),
        *("/v1/audit?action=", "/v1/peers?name_prefix=", "/v1/routers?cursor=", "/v1/gateways/"),
    ],
)
def test_what_no_database_can_hold_is_not_looked_for(service: Service, path: str) -> None:
    for wrong in ("%00", "a%00b"):
        refused = service.admin.get(path + wrong)
        assert refused.status_code == 422, refused.text
        assert refused.json()["errors"]


def test_of_which_a_change_waits(service: Service) -> None:
    """One that was declined waits for nobody."""
    service.add_gateway()
    numbers = [service.add_peer(name=f"p-{n}", sources=[f"203.0.113.{n}"]) for n in range(4)]
    for number in numbers[:3]:
        service.act(number, "propose", {"purpose": "another"})
    service.act(numbers[0], "decline", {"reason": "no"})
    service.act(numbers[1], "grant")
    found = service.admin.get("/v1/peers?proposed=true").json()["items"]
    assert [each["id"] for each in found] == [numbers[2]]
    assert len(service.admin.get("/v1/peers?proposed=false").json()["items"]) == 4
