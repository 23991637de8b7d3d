"""Strangers as they are looked at: in order, page by page, and registered meanwhile."""

from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from sqlalchemy import Row, event, insert

from api.records import Peer, Role
from api.store import gateways, stranger_search
from api.store import peers as peer_rows
from api.store import sources as source_rows
from api.store.keys import key_of_address
from api.store.schema import peers
from api.store.stranger_tables import strangers
from api.stranger_records import ORDERS, Order, StrangerFilter, StrangerPlace, day_of
from tests.api.bodies import NOW, WEEK, text
from tests.api.conftest import Service
from tests.api.strangers import MINUTE, Item, listed, seen, sources, told

DAY = timedelta(days=1)
WHO = {"owner": "Branch networks", "contact": "netops@example.net", "purpose": "A tunnel"}


@pytest.fixture
def hub(service: Service) -> Service:
    service.add_gateway()
    return service


@pytest.fixture
def filled(hub: Service) -> Service:
    hub.add_gateway("spoke", addresses=["198.51.100.2"])
    addresses = ["203.0.113.9", "203.0.113.200", "192.0.2.1", "2001:db8::9", "2001:db8:7::1"]
    everyone = [
        seen(
            address,
            gateway="spoke" if number % 4 == 3 else "hub",
            service=("udp/51820", "proto/47")[number % 2],
            packets=(number * 7 % 5 + 1) * 100,
            minutes=number % 3 + 1,
            last_seen=text(NOW - number * MINUTE / 3),
        )
        for number, address in enumerate(addresses)
    ]
    told(hub, *everyone)
    return hub


def test_the_most_persistent_come_first(hub: Service) -> None:
    told(
        hub,
        seen("192.0.2.1", minutes=1, packets=90_000),
        seen("192.0.2.2", minutes=5, packets=5),
        seen("192.0.2.3", minutes=1, packets=1, last_seen=text(NOW)),
    )
    assert sources(hub) == ["192.0.2.2", "192.0.2.3", "192.0.2.1"]
    assert sources(hub, sort="-packets") == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert sources(hub, sort="-last_seen")[0] == "192.0.2.3"


def inside(item: Item, prefix: str) -> bool:
    address, net = ip_address(item["source"]), ip_network(prefix)
    return address.version == net.version and address in net


FILTERS: list[tuple[Item, Callable[[Item], bool]]] = [
    ({"gateway": "spoke"}, lambda e: e["gateway"] == "spoke"),
    ({"gateway": "nowhere"}, lambda e: False),
    ({"service": "proto/47"}, lambda e: e["service"] == "proto/47"),
    ({"since": text(NOW - MINUTE / 3)}, lambda e: e["last_seen"] >= text(NOW - MINUTE / 3)),
    ({"min_packets": 300}, lambda e: e["packets"] >= 300),
    ({"min_minutes": 2}, lambda e: e["minutes"] >= 2),
    *(
        ({"source": prefix}, lambda e, prefix=prefix: inside(e, prefix))
        for prefix in ("203.0.113.9", "203.0.113.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0")
    ),
]


@pytest.mark.parametrize("sort", ["-minutes", "-packets", "-last_seen"])
def test_a_filter_finds_what_fits_in_its_order(filled: Service, sort: str) -> None:
    items = listed(filled, sort=sort)
    assert len(items) == 5
    name = sort.removeprefix("-")
    assert [e[name] for e in items] == sorted((e[name] for e in items), reverse=True)
    for query, fits in FILTERS:
        assert listed(filled, sort=sort, **query) == [e for e in items if fits(e)], query
        one_by_one = listed(filled, sort=sort, **query, limit=1)
        assert one_by_one == [e for e in items if fits(e)], query


def test_a_cursor_is_for_its_own_order(filled: Service) -> None:
    page = filled.admin.get("/v1/strangers", params={"limit": 2}).json()
    for wrong in ({"sort": "-packets"}, {"cursor": "x"}, {"cursor": "W10"}, {"sort": "minutes"}):
        query = {"cursor": page["next"]} | wrong
        assert filled.admin.get("/v1/strangers", params=query).status_code == 422, wrong


def test_whoever_is_registered_meanwhile_is_no_stranger(hub: Service) -> None:
    hub.add_gateway("spoke", addresses=["198.51.100.2"])
    here = (seen("203.0.113.9"), seen("203.0.113.10"), seen("2001:db8::9"))
    told(hub, *here, seen("203.0.113.77", gateway="spoke"))
    elsewhere = hub.request_peer(name="elsewhere", gateway="spoke", sources=["203.0.113.0/24"])
    assert len(listed(hub, covered=False)) == 3
    wide = hub.request_peer(name="wide", sources=["203.0.113.8/30"])
    assert sources(hub, covered=False) == ["2001:db8::9"]
    assert {e["source"]: e["covered"] for e in listed(hub)} == {
        "203.0.113.9": {"peer": wide, "name": "wide", "state": "pending"},
        "203.0.113.10": {"peer": wide, "name": "wide", "state": "pending"},
        "2001:db8::9": None,
        "203.0.113.77": {"peer": elsewhere, "name": "elsewhere", "state": "pending"},
    }
    # One that lets it in says more than one that is asked for.
    host = hub.request_peer(name="host", sources=["203.0.113.9"])
    hub.act(wide, "approve")
    assert covered_by(hub, "203.0.113.9") == (wide, "active")
    hub.act(host, "approve")
    assert covered_by(hub, "203.0.113.9") == (host, "active")
    hub.act(host, "revoke")
    hub.act(wide, "revoke")
    assert len(listed(hub, covered=False)) == 3
    hub.act(elsewhere, "reject")
    assert len(listed(hub, covered=False)) == 4


def covered_by(service: Service, source: str) -> tuple[int, str] | None:
    (found,) = listed(service, source=source)
    covered = found["covered"]
    return None if covered is None else (covered["peer"], covered["state"])


def test_a_registration_covers_until_it_ends(hub: Service) -> None:
    told(hub, seen("203.0.113.7"))
    number = hub.add_peer(valid_from=text(NOW + DAY), valid_until=text(NOW + WEEK))
    assert covered_by(hub, "203.0.113.7") == (number, "approved")
    hub.clock.now = NOW + WEEK - DAY
    assert covered_by(hub, "203.0.113.7") == (number, "active")
    assert sources(hub, covered=False) == []
    hub.clock.now = NOW + WEEK
    assert covered_by(hub, "203.0.113.7") == (number, "expired")
    assert sources(hub, covered=False) == ["203.0.113.7"]
    # Whose it was says less than who asks for it now.
    asked = hub.request_peer(name="asked", sources=["203.0.113.0/24"])
    assert covered_by(hub, "203.0.113.7") == (asked, "pending")
    assert sources(hub, covered=False) == []


def test_of_registrations_that_have_ended_the_last_is_told(hub: Service) -> None:
    told(hub, seen("203.0.113.7"))
    ends = {"a": NOW + DAY, "b": NOW + 3 * DAY, "c": NOW + 2 * DAY}
    ids = {n: hub.add_peer(name=n, valid_until=text(end)) for n, end in ends.items()}
    hub.clock.now = NOW + WEEK
    assert covered_by(hub, "203.0.113.7") == (ids["b"], "expired")
    hub.request_peer(name="never", valid_until=text(NOW + WEEK + DAY))
    hub.clock.now = NOW + WEEK + DAY
    assert covered_by(hub, "203.0.113.7") == (ids["b"], "expired")


def test_whose_registration_has_ended_may_be_registered_anew(hub: Service) -> None:
    told(hub, seen("203.0.113.7"))
    hub.add_peer(valid_until=text(NOW + DAY))
    hub.clock.now = NOW + WEEK
    (found,) = listed(hub)
    body = {"owner": "Branch networks", "contact": "netops@example.net", "purpose": "a tunnel"}
    made = hub.admin.post(f"/v1/strangers/{found['id']}/register", json=body)
    assert (made.status_code, made.json()["sources"]) == (201, ["203.0.113.7"])


def test_registered_anew_it_has_another_name(hub: Service) -> None:
    """Unless somebody says one: the registration that has ended has the name that we made."""
    told(hub, seen())
    number = register(hub, valid_until=text(NOW + DAY))["id"]
    hub.act(number, "approve")
    hub.clock.now = NOW + WEEK
    taken = register(hub, name="stranger-203.0.113.9")
    assert (taken["status"], taken["errors"][0]["rule"]) == (
        409,
        f"peer {number} (expired) at gateway hub has this name",
    )
    made = register(hub)
    assert (made["status"], made.get("name")) == (201, "stranger-203.0.113.9-2"), made


def test_very_many_registrations_of_one_prefix_have_ended(
    hub: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is told, and no other is read: cut-overs look each second."""
    read_peers: list[int] = []
    peer_of = peer_rows.peer_of

    def noted(row: Row[Any]) -> Peer:
        read_peers.append(row.id)
        return peer_of(row)

    monkeypatch.setattr(peer_rows, "peer_of", noted)
    fill(hub, 500, "10.0.0.0")
    registry = hub.app.state.registry
    with registry.read() as read:
        gateway_id = gateways.ids(read.connection)["hub"]
    rows = [
        {
            "id": number,
            "gateway_id": gateway_id,
            "name": f"branch-{number}",
            "owner": "Branch networks",
            "contact": "netops@example.net",
            "purpose": "A tunnel",
            "sources": ["10.0.0.0/8"],
            "valid_until": NOW - number * MINUTE,
            "state": "approved",
            "listed": False,
            "version": 1,
            "created": NOW - WEEK,
            "created_by": "admin",
        }
        for number in range(1, 5_001)
    ]
    with registry.store.write() as connection:
        connection.execute(insert(peers), rows)
        source_rows.add(connection, {number: ["10.0.0.0/8"] for number in range(1, 5_001)})
    with registry.read() as read:
        wanted = StrangerFilter(gateway="hub")
        found = stranger_search.page(read.connection, wanted, "minutes", None, 500)
        spots = [(each.gateway_id, each.source) for each in found]
        covering = stranger_search.covering(read.connection, spots, NOW)
    assert {peer.id for peer in covering.values()} == {1}
    assert len(covering) == 500
    assert set(read_peers) == {1}


def test_pages_go_on_over_whoever_is_left_out(hub: Service) -> None:
    """More than are looked through for one page stand before the one that is wanted."""
    hub.add_peer(sources=["10.0.0.0/8"])
    fill(hub, 6_000, "10.0.0.0", minutes=9)
    fill(hub, 3, "192.0.2.0", minutes=1)
    page = hub.admin.get("/v1/strangers").json()
    assert page["items"] == []
    assert page["next"] is not None
    assert len(listed(hub, covered=False)) == 3
    assert len(listed(hub, covered=False, limit=1)) == 3


def fill(service: Service, count: int, first: str, minutes: int = 1) -> None:
    """Rows as reports would leave them, of different weights."""
    start = ip_address(first)
    with service.app.state.registry.read() as read:
        gateway_id = gateways.ids(read.connection)["hub"]
    rows = [
        {
            "gateway_id": gateway_id,
            "key": key_of_address(start + number),
            "service": "udp/51820",
            "first_seen": NOW - DAY,
            "last_seen": NOW - timedelta(seconds=number % 1000),
            "packets": 1 + number * 7919 % 1000,
            "samples": 1,
            "minutes": minutes + number % 7,
            "dropped": False,
            "routers": ",edge-1,",
            "day": day_of(NOW),
            "days": 1,
        }
        for number in range(count)
    ]
    with service.app.state.registry.aside("a test") as aside:
        aside.connection.execute(insert(strangers), rows)


def test_twenty_thousand_are_gone_through(hub: Service) -> None:
    fill(hub, 20_000, "10.0.0.0")
    items = listed(hub, sort="-packets")
    assert len({each["id"] for each in items}) == len(items) == 20_000
    assert [e["packets"] for e in items] == sorted((e["packets"] for e in items), reverse=True)


@pytest.mark.parametrize("gateway", [None, "hub"])
@pytest.mark.parametrize("order", ORDERS)
def test_pages_follow_an_index(hub: Service, order: Order, gateway: str | None) -> None:
    """By what the database says it would do."""
    fill(hub, 20_000, "10.0.0.0")
    registry = hub.app.state.registry
    with registry.store.write() as connection:
        connection.exec_driver_sql("ANALYZE")
    with registry.read() as read:
        connection = read.connection
        wanted = StrangerFilter(gateway=gateway)
        last = stranger_search.page(connection, wanted, order, None, 1000)[-1]
        query = stranger_search.ordered(connection, wanted, order, StrangerPlace.of(last, order))

        def explained(*asked: Any) -> tuple[str, Any]:  # noqa: ANN401  # as the driver has them
            _, _, statement, parameters, _, _ = asked
            how = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
            return f"{how} {statement}", parameters

        event.listen(connection, "before_cursor_execute", explained, retval=True)
        plan = "\n".join(str(row) for row in connection.execute(query.limit(100)))
    index = f"ix_strangers_{'gateway_' if gateway else ''}{order}"
    assert index in plan, plan
    for sorting in ("TEMP B-TREE", "Sort Key"):
        assert sorting not in plan, plan


def register(service: Service, role: Role = Role.REGISTRAR, **fields: object) -> Item:
    (found,) = listed(service, source=str(fields.pop("source", "203.0.113.9")))
    answered = service.clients[role].post(
        f"/v1/strangers/{found['id']}/register", json=WHO | fields
    )
    return {"status": answered.status_code, **answered.json()}


def test_a_stranger_becomes_a_pending_peer(hub: Service) -> None:
    told(hub, seen(), seen("2001:db8::9"))
    made = register(hub)
    assert made["status"] == 201, made
    assert (made["name"], made["gateway"], made["state"]) == (
        *("stranger-203.0.113.9", "hub"),
        "pending",
    )
    assert (made["sources"], made["created_by"]) == (["203.0.113.9"], "a-registrar")
    assert hub.admin.get(f"/v1/peers/{made['id']}").json()["purpose"] == "A tunnel"
    assert hub.revision == 1  # nobody is let in yet
    six = register(hub, source="2001:db8::9", prefix_length=48, name="branch-9")
    assert (six["name"], six["sources"]) == ("branch-9", ["2001:db8::/48"])


def test_it_is_registered_once(hub: Service) -> None:
    told(hub, seen())
    key = {"Idempotency-Key": "register-it"}
    answers = [hub.admin.post("/v1/strangers/1/register", json=WHO, headers=key) for _ in range(2)]
    assert [each.status_code for each in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    again = register(hub)
    assert (again["status"], again["type"]) == (409, "/problems/covered")
    assert "peer 1 (stranger-203.0.113.9, pending) covers 203.0.113.9 at hub" in again["detail"]


def test_the_rules_hold_for_it(hub: Service) -> None:
    told(hub, seen())
    rules = {"four_eyes": True, "terms": {"version": "1", "url": None, "text": "Be good."}}
    rules |= {"longest_days": 30}
    hub.admin.patch("/v1/rules", json=rules, headers={"If-Match": "*"})
    assert register(hub)["type"] == "/problems/terms-of-use"
    late = text(NOW + 31 * DAY)
    assert register(hub, terms="1", valid_until=late)["errors"][0]["field"] == "valid_until"
    made = register(hub, Role.ADMIN, terms="1")
    assert made["valid_until"] == text(NOW + 30 * DAY)
    alone = hub.admin.post(f"/v1/peers/{made['id']}/approve", headers={"If-Match": "*"})
    assert alone.json()["type"] == "/problems/four-eyes"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"prefix_length": 33}, "prefix_length"),
        ({"prefix_length": 7}, "prefix_length"),
        ({"name": "<b>"}, "name"),
        ({"owner": "\x1b[2J"}, "owner"),
        ({"owner": "x" * 501}, "owner"),
        ({"contact": "nobody"}, "contact"),
        ({"purpose": "\u202egnp.exe"}, "purpose"),
        ({"owner": None}, "owner"),
        ({"source": "203.0.113.1", "sources": ["0.0.0.0/0"]}, "sources"),
        ({"valid_from": text(NOW + DAY), "valid_until": text(NOW)}, "valid_until"),
    ],
)
def test_what_is_no_registration_is_refused(hub: Service, fields: Item, field: str) -> None:
    told(hub, seen(), seen("203.0.113.1"))
    refused = register(hub, **fields)
    assert refused["status"] == 422, refused
    assert refused["errors"][0]["field"] == field
    assert hub.admin.get("/v1/peers").json()["items"] == []


def test_a_stranger_that_is_gone_is_not_registered(hub: Service) -> None:
    assert hub.admin.post("/v1/strangers/7/register", json=WHO).status_code == 404
    assert hub.admin.get("/v1/strangers/7").status_code == 404
    assert hub.admin.get("/v1/gateways/nowhere/strangers").status_code == 404
