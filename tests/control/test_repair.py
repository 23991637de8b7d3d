"""What was never written is repaired; what packets look at beside entries is right."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address

import numpy as np
import pytest

from control.columns import SourceKey
from control.dataplane import DataPlane
from control.entries import Entries, Entry
from control.hashing import USED
from control.model import Difference, GatewayRow
from control.plan import difference
from policy.window import FOREVER_NS
from tests.bpf.frames import ether, ip, udp
from tests.control.planes import (
    FRAMES,
    HUB,
    WIREGUARD,
    entry,
    half,
    host,
    prefix,
    rows_of,
    site,
)


def no_filter(plane: DataPlane) -> None:
    rows_of(plane, "filter")["word"] = 0


def no_lengths(plane: DataPlane) -> None:
    for name in ("lengths4", "lengths6"):
        rows_of(plane, name)["word"] = 0


def slots_of_nothing(plane: DataPlane) -> None:
    slots = rows_of(plane, "buckets")["slot"]
    slots[slots == 0] = USED | np.uint64(1)


def a_slot_gone(plane: DataPlane) -> None:
    slots = rows_of(plane, "buckets")["slot"]
    slots[tuple(at[0] for at in np.nonzero(slots))] = 0


def two_slots_of_one_entry(plane: DataPlane) -> None:
    slots = rows_of(plane, "buckets")["slot"]
    bucket, slot = (int(at[0]) for at in np.nonzero(slots))
    slots[bucket, (slot + 1) % 7] = slots[bucket, slot]


def valid_for_ever(plane: DataPlane) -> None:
    slots = rows_of(plane, "buckets")["slot"]
    slots[slots != 0] |= np.uint64(0xFFFF << 48)


def another_peer(plane: DataPlane) -> None:
    rows_of(plane, "entries")["peer"] = 99


def overflow_of_nothing(plane: DataPlane) -> None:
    table = plane._tables["overflow"]
    assert table.write([(b"\x01" * 24, bytes(48))])


def no_addresses(plane: DataPlane) -> None:
    half(plane, "addresses")["word"] = 0


def addresses_of_nothing(plane: DataPlane) -> None:
    words = half(plane, "addresses")["word"]
    words[words == 0] = 7


def no_way_to_addresses(plane: DataPlane) -> None:
    rows_of(plane, "root")["direct"] = 0


def ways_to_others(plane: DataPlane) -> None:
    direct = rows_of(plane, "root")["direct"]
    direct[direct == 0] = 1


def monitors(plane: DataPlane) -> None:
    half(plane, "gateways")["enforce_until"] = 0


def another_gateway(plane: DataPlane) -> None:
    half(plane, "gateways")["name"][2, 0] = b"x"


def beyond_the_counts(plane: DataPlane) -> None:
    """The program looks at all sixteen slots of struct pg_target, whatever the counts say."""
    half(plane, "targets")["services"]["gateway"][0, 15] = 1


def later_elsewhere(plane: DataPlane) -> None:
    half(plane, "targets")["later"][0] = 3


def drops_without_asking(plane: DataPlane) -> None:
    """PG_DROPS at a service that stands behind those in use, and at those in use none."""
    services = half(plane, "targets")["services"]["gateway"]
    services[0, 0] ^= 1 << 31
    services[0, 14] = 1 << 31


def another_secret(plane: DataPlane) -> None:
    rows_of(plane, "root")["secret"] += np.uint64(2)


def strides_elsewhere(plane: DataPlane) -> None:
    rows_of(plane, "root")["strides"]["first"] += 1


def another_half(plane: DataPlane) -> None:
    rows_of(plane, "root")["guard"] ^= np.uint64(1)


@pytest.mark.parametrize(
    "damage",
    [
        *(no_filter, no_lengths, slots_of_nothing, a_slot_gone, two_slots_of_one_entry),
        *(valid_for_ever, another_peer, overflow_of_nothing, no_addresses, addresses_of_nothing),
        *(no_way_to_addresses, ways_to_others),
        *(monitors, another_gateway, beyond_the_counts, later_elsewhere, drops_without_asking),
        *(another_secret, strides_elsewhere, another_half),
    ],
)
def test_what_we_never_write_is_repaired(
    damage: Callable[[DataPlane], None], plane: DataPlane
) -> None:
    wanted = site(host(1), prefix(1))
    over: dict[SourceKey, Entry] = {(1, IPv4Network("203.0.113.9")): Entry(8, 32, 0, 1)}
    wanted = replace(wanted, entries=Entries.of({**wanted.entries, **over}))
    plane.apply(difference(plane.tables(), wanted))
    judged = [plane.run(frame) for frame in FRAMES]
    assert judged == ["pass", "drop", "drop"]
    damage(plane)
    assert sum(plane.check()) > 0
    assert plane.tables() == wanted
    assert [plane.run(frame) for frame in FRAMES] == judged
    assert sum(plane.check()) == 0


def test_addresses_that_differ_in_what_the_family_is(plane: DataPlane) -> None:
    """Their hashes were the same once, under every seed."""
    pairs = (
        ("192.0.2.1", "::192.0.2.3"),
        ("192.0.2.1", "::c000:201"),
        ("32.1.13.184", "2001:db8::2"),
    )
    for pair in pairs:
        wanted = replace(site(), targets=dict.fromkeys(map(ip_address, pair), WIREGUARD))
        plane.apply(difference(plane.tables(), wanted))
        assert plane.tables() == wanted


def test_hosts_announce_no_lengths(plane: DataPlane) -> None:
    plane.apply(Difference(site((1, IPv6Network("2001:db8::5/128")), host(1))))
    assert sum(plane.check()) == 0  # which clears what tests before have left
    four, six = (rows_of(plane, f"lengths{n}")["word"].reshape(-1, 2) for n in (4, 6))
    assert np.count_nonzero(four[:, 0]) == np.count_nonzero(six[:, 0]) == 1
    assert not six[:, 1].any()
    assert not (six[:, 0] & np.uint64((1 << 48) - 1)).any()
    assert not (four[:, 0] & np.uint64((1 << 32) - 1)).any()


SHORT: dict[int, IPv4Network | IPv6Network] = {
    4: IPv4Network("192.0.0.0/12"),
    6: IPv6Network("2001:c00::/22"),
}
IN_SHORT = {4: "192.4.0.1", 6: "2001:dff::1"}
TARGET = {4: HUB, 6: ip_address("2001:db8::1")}


@pytest.mark.parametrize("family", [4, 6])
def test_prefixes_shorter_than_a_head(family: int, plane: DataPlane) -> None:
    """Packets look for them only where there are some, which `root` says."""
    frame = ether(ip(IN_SHORT[family], str(TARGET[family])) / udp())
    nobody = replace(site(host(1), prefix(1)), targets=dict.fromkeys(TARGET.values(), WIREGUARD))
    source: SourceKey = 1, SHORT[family]
    somebody = replace(nobody, entries=Entries.of({**nobody.entries, source: entry(source)}))
    shorts = rows_of(plane, "root")["shorts"][0]
    assert sum(plane.check()) == 0
    plane.apply(difference(plane.tables(), nobody))
    assert (plane.run(frame), shorts.tolist()) == ("drop", [0, 0])
    plane.apply(difference(nobody, somebody))
    assert (plane.run(frame), shorts.tolist()) == ("pass", [family == 4, family == 6])
    shorts[:] = 0
    assert plane.run(frame) == "drop"
    assert sum(plane.check()) > 0
    assert (plane.run(frame), shorts.tolist()) == ("pass", [family == 4, family == 6])
    plane.apply(difference(somebody, nobody))
    assert plane.run(frame) == "drop"
    assert (sum(plane.check()), shorts.tolist()) == (0, [0, 0])


@pytest.mark.parametrize("mode", ["enforce", "monitor", "window", "ended"])
def test_a_service_says_that_it_drops_where_its_gateway_always_does(
    mode: str, plane: DataPlane
) -> None:
    window = {"enforce": (0, FOREVER_NS), "monitor": (0, 0), "window": (1, FOREVER_NS - 1)}
    row = GatewayRow("hub", *window.get(mode, (1, 2)))
    plane.apply(difference(plane.tables(), replace(site(host(1)), gateways={1: row})))
    assert plane.run(FRAMES[2]) == ("drop" if mode in ("enforce", "window") else "pass")
    word = int(half(plane, "targets")["services"]["gateway"][0, 0])
    assert (word >> 31, word & 0xFFFF) == (mode == "enforce", 1)


def test_what_root_says_of_sizes_is_repaired(plane: DataPlane) -> None:
    root = rows_of(plane, "root")
    for name in plane.sizes.root():
        right = root[name].copy()
        root[name] = np.zeros_like(right)
        assert sum(plane.check()) > 0, name
        assert (root[name] == right).all(), name
