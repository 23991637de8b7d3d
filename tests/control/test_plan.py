"""Rows and differences: what is written, kept, numbered and refused."""

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.columns import SourceKey
from control.entries import Entries, Entry
from control.errors import DataPlaneError, MapFullError
from control.model import (
    Allowlist,
    Gateway,
    GatewayRow,
    Peer,
    Tables,
    Target,
)
from control.plan import (
    check_room,
    cut_off,
    difference,
    is_too_much,
    living,
    number_gateways,
    numbers_in,
    resolve,
)
from control.sizes import NUMBERS_MAX, Limits
from policy.services import Service
from policy.window import FOREVER_NS, Window, to_ns

NOW = datetime(2026, 11, 23, tzinfo=UTC)
NOW_NS = to_ns(NOW)
WIREGUARD, IKE = Service(17, 51820), Service(17, 500)


def gateway(name: str, *addresses: str, services: tuple[Service, ...] = (WIREGUARD,)) -> Gateway:
    return Gateway(name, tuple(map(ip_network, addresses)), services, Window())


def peers(count: int, gateway: str = "hub") -> tuple[Peer, ...]:
    return tuple(
        Peer(n, f"p{n}", gateway, "o", "c", "p", (ip_network((0xCB007100 + n, 32)),), Window())
        for n in range(1, count + 1)
    )


def allowlist(*gateways: Gateway, peers: tuple[Peer, ...] = ()) -> Allowlist:
    return Allowlist("test", 1, NOW, gateways, peers)


def test_new_gateways_get_numbers_never_used() -> None:
    assert number_gateways({}, ["b", "a"]) == {"b": 1, "a": 2}
    assert number_gateways({"gone": 7, "a": 2}, ["a", "new", "gone"]) == {
        "gone": 7,
        "a": 2,
        "new": 8,
    }


def test_a_removed_gateway_stays_in_memory_with_the_empty_window() -> None:
    before = resolve(
        allowlist(gateway("hub", "198.51.100.1"), gateway("spoke", "198.51.100.2")), {}, NOW_NS
    )
    after = resolve(allowlist(gateway("spoke", "198.51.100.2")), numbers_in(before), NOW_NS)
    assert after.gateways == {1: GatewayRow("hub", 0, 0), 2: GatewayRow("spoke", 0, FOREVER_NS)}
    assert set(after.targets) == {ip_address("198.51.100.2")}
    change = difference(before, after)
    assert change.write.gateways == {1: GatewayRow("hub", 0, 0)}
    assert set(change.delete.targets) == {ip_address("198.51.100.1")}
    assert not change.delete.gateways


def test_monitor_is_the_empty_window_and_enforcement_may_have_one() -> None:
    window = Window(NOW, None)
    rows = resolve(
        allowlist(
            replace(gateway("monitored", "198.51.100.1"), enforce=None),
            replace(gateway("later", "198.51.100.2"), enforce=window),
        ),
        {},
        NOW_NS,
    ).gateways
    assert rows == {
        1: GatewayRow("monitored", 0, 0),
        2: GatewayRow("later", NOW_NS, FOREVER_NS),
    }


def test_gateways_share_an_address() -> None:
    shared = resolve(
        allowlist(
            gateway("wg", "198.51.100.0/30"), gateway("ike", "198.51.100.1", services=(IKE,))
        ),
        {},
        NOW_NS,
    )
    assert shared.targets[ip_address("198.51.100.1")] == Target(
        ((IKE, 2), (WIREGUARD, 1)), later=NUMBERS_MAX
    )
    assert shared.targets[ip_address("198.51.100.2")] == Target(((WIREGUARD, 1),))
    assert len(shared.targets) == 4


keys: st.SearchStrategy[SourceKey] = st.tuples(
    st.integers(1, 2), st.integers(0, 7).map(lambda n: ip_network((0xCB007100 + n, 32)))
)
tables = st.builds(
    Tables,
    gateways=st.dictionaries(st.integers(1, 3), st.builds(GatewayRow, st.sampled_from(["a", "b"]))),
    targets=st.dictionaries(
        st.sampled_from([ip_address("198.51.100.1"), ip_address("2001:db8::1")]),
        st.builds(Target, st.just(((WIREGUARD, 1),))),
    ),
    entries=st.builds(
        Entries.of, st.dictionaries(keys, st.builds(Entry, st.integers(1, 3), st.just(32)))
    ),
)


@settings(deadline=None)
@given(actual=tables, wanted=tables)
def test_a_difference_made_gives_the_wanted_tables(actual: Tables, wanted: Tables) -> None:
    change = difference(actual, wanted)
    gateways = {**actual.gateways, **change.write.gateways}
    targets = {**actual.targets, **change.write.targets}
    entries = {**actual.entries, **change.write.entries}
    for number in change.delete.gateways:
        del gateways[number]
    for address in change.delete.targets:
        del targets[address]
    for key in change.delete.entries:
        del entries[key]
    assert Tables(gateways, targets, Entries.of(entries)) == wanted
    assert bool(change) == (actual != wanted)


def test_full_maps_are_refused_with_number_and_limit() -> None:
    full = resolve(allowlist(gateway("hub", "198.51.100.1"), peers=peers(5)), {}, NOW_NS)
    check_room(full, Limits(max_hosts=5))
    with pytest.raises(MapFullError, match=r"hosts.* 5 .*room for 4.*max_hosts") as refused:
        check_room(full, Limits(max_hosts=4))
    assert (refused.value.wanted, refused.value.limit) == (5, 4)


def test_prefixes_and_gateway_numbers_have_their_own_limits() -> None:
    wide = replace(peers(1)[0], sources=(ip_network("203.0.113.0/24"), ip_network("192.0.2.0/24")))
    wanted = resolve(allowlist(gateway("hub", "198.51.100.1"), peers=(wide,)), {"old": 9}, NOW_NS)
    check_room(wanted, Limits(max_prefixes=2, max_gateways=10))
    with pytest.raises(MapFullError, match="max_prefixes"):
        check_room(wanted, Limits(max_prefixes=1, max_gateways=10))
    with pytest.raises(MapFullError, match="max_gateways"):
        check_room(wanted, Limits(max_gateways=9))


def test_a_router_carries_4096_gateway_addresses() -> None:
    blocks = [gateway(f"g{n}", f"2001:db8::{n:x}00/120") for n in range(16)]
    check_room(resolve(allowlist(*blocks), {}, NOW_NS), Limits())
    one_more = resolve(allowlist(*blocks, gateway("more", "198.51.100.1")), {}, NOW_NS)
    with pytest.raises(DataPlaneError, match="4097 gateway addresses"):
        check_room(one_more, Limits())


def sources(count: int) -> Tables:
    return resolve(allowlist(gateway("hub", "198.51.100.1"), peers=peers(count)), {}, NOW_NS)


def removes_too_much(old: Tables, new: Tables) -> bool:
    cut = cut_off(old.entries, new.entries, NOW_NS)
    return is_too_much(cut, int(living(old.entries, NOW_NS).sum()))


@pytest.mark.parametrize(
    ("before", "after", "held"),
    [
        (100, 0, True),
        (99, 0, False),  # fewer than 100
        (1000, 801, False),
        (1000, 800, False),  # a fifth, not more
        (1000, 799, True),
        (400, 300, True),
        (250, 1000, False),
    ],
)
def test_too_large_a_removal(before: int, after: int, held: bool) -> None:
    assert removes_too_much(sources(before), sources(after)) is held


def test_cutting_short_is_removing_and_losing_what_had_ended_is_not() -> None:
    full = sources(200)

    def changed(start: int, end: int) -> Tables:
        return replace(
            full, entries=Entries.of({key: Entry(1, 32, start, end) for key in full.entries})
        )

    ended, future = changed(0, NOW_NS), changed(NOW_NS + 1, FOREVER_NS)
    assert removes_too_much(full, ended)
    assert removes_too_much(full, future)
    assert not removes_too_much(ended, sources(0))
    assert removes_too_much(future, sources(0))
