"""IPv4 prefixes stand by parts of heads, where packets read their lengths; heads by groups."""

from collections.abc import Iterator
from ipaddress import IPv4Network, ip_address

import numpy as np
import pytest

from control import blocks, hashing
from control.dataplane import DataPlane
from control.entries import Entries, Entry
from control.model import Difference, Tables
from control.plan import difference
from control.sizes import Sizes
from tests.bpf.site import HUB, SITE
from tests.control.planes import rows_of
from tests.control.test_strides import packet

SECRET = hashing.Secret(np.array([7**22, 3**40, 5**27, 11**18], np.uint64))


@pytest.fixture(scope="module")
def plane() -> Iterator[DataPlane]:
    with DataPlane.offline(Sizes.room_for(64, 256, 16)) as made:
        made.apply(difference(made.held(), Tables(SITE.gateways, SITE.targets)))
        yield made


def behind(net: IPv4Network) -> int:
    """Its name."""
    return int(net.network_address) | 1 << 31 - net.prefixlen


@pytest.mark.parametrize("length", range(8, 32))
def test_a_prefix_is_in_all_parts_that_it_has_or_is_in(length: int) -> None:
    nets = [IPv4Network(("203.97.219.183", length), strict=False), IPv4Network(f"0.0.0.0/{length}")]
    whose, part, bits = hashing.parts4(np.array([behind(net) for net in nets], np.uint64))
    expected = []
    for number, net in enumerate(nets):
        if length < 16:
            continue
        parts = net.subnets(new_prefix=20) if length < 20 else [net.supernet(new_prefix=20)]
        for each in parts:
            near = sum(
                1 << at
                for at, next_five in enumerate(each.subnets(new_prefix=25))
                if next_five.overlaps(net)
            )
            said = (int(each.network_address) >> 12, near << 32 | 1 << 31 - length)
            expected.append((number, *said))
    assert list(zip(whose.tolist(), part.tolist(), bits.tolist(), strict=True)) == expected


@pytest.mark.parametrize("length", range(16, 32))
def test_a_cell_says_where_its_prefixes_are(length: int) -> None:
    net = IPv4Network(("203.97.219.183", length), strict=False)
    names = np.array([behind(net)], np.uint64)
    _, first, second, _ = hashing.around(hashing.PREFIXES4, np.zeros(1, np.uint64), names)
    within = list(net.subnets(new_prefix=24)) if length < 24 else [net.supernet(new_prefix=24)]
    numbers = [int(each.network_address) >> 8 & 255 for each in within]
    assert int(first[0]) & 0xFFFF == sum(1 << n for n in {number >> 4 for number in numbers})
    assert int(first[0]) >> 16 == sum(1 << n for n in {number & 15 for number in numbers})
    assert not second[0]


@pytest.mark.parametrize("gateway", [1, 8191])
def test_no_two_heads_of_a_gateway_have_one_cell(gateway: int) -> None:
    """And those of a group have neighbouring ones."""
    heads = np.arange(1 << 16, dtype=np.uint64)
    gateways = np.full(len(heads), gateway, np.uint64)
    hashes = SECRET.hash_head(hashing.HOSTS4, gateways, heads)
    cells = hashes >> np.uint64(48) ^ heads & hashing.GROUP4_MASK
    assert len(np.unique(cells)) == len(heads)
    groups = np.sort(cells.reshape(-1, 8), axis=1)
    assert (groups - groups[:, :1] == np.arange(8)).all()
    assert not (groups[:, 0] % 8).any()


@pytest.mark.parametrize("length", range(16, 21))
def test_a_prefix_is_found_in_all_parts_of_its_head(length: int, plane: DataPlane) -> None:
    net = IPv4Network(f"10.77.0.0/{length}")
    tables = Tables(entries=Entries.of({(HUB, net): Entry(1, length)}))
    plane.apply(Difference(tables))
    for part in net.subnets(new_prefix=20):
        for source in (part[0], part[-1]):
            assert plane.run(packet(source)) == "pass", source
            assert plane.explain(packet(source), 1).entry == Entry(1, length)
    assert plane.run(packet(ip_address(int(net[0]) - 1))) == "drop"
    if length > 16:
        assert plane.run(packet(ip_address(int(net[-1]) + 1))) == "drop"
    plane.apply(Difference(Tables(), tables))
    assert plane.run(packet(net[0])) == "drop"


def test_packets_ask_parts_and_a_check_puts_them_right(plane: DataPlane) -> None:
    nets = [IPv4Network(f"10.77.{16 * n}.0/{24 + n % 8}") for n in range(16)]
    tables = Tables(entries=Entries.of({(HUB, net): Entry(1, net.prefixlen) for net in nets}))
    first, bits = plane.sizes.parts4
    words = rows_of(plane, "lengths4")["word"].reshape(-1)[first:][: 1 << bits]
    plane.apply(Difference(tables))
    words[:] = 0
    assert {plane.run(packet(net[0])) for net in nets} == {"drop"}
    assert {plane.explain(packet(net[0]), 1).entry for net in nets} == {None}
    assert sum(plane.check()) > 0
    assert {plane.run(packet(net[0])) for net in nets} == {"pass"}
    plane.apply(Difference(Tables(), tables))
    assert sum(plane.check()) == 0
    assert not words.any()


CELL, PART = range(2)


@pytest.mark.parametrize(
    ("where", "bits"),
    [(CELL, 0xFFFF), (CELL, 0xFFFF << 16), (PART, 0xFFFF), (PART, 0xFFFFFFFF << 32)],
)
def test_packets_ask_all_that_says_where_prefixes_are(
    where: int, bits: int, plane: DataPlane
) -> None:
    """Else strangers would go further than they have to, and nothing else would show it."""
    net = IPv4Network("10.77.48.0/26")
    tables = Tables(entries=Entries.of({(HUB, net): Entry(1, 26)}))
    plane.apply(Difference(tables))
    words = rows_of(plane, "lengths4")["word"].reshape(-1)
    first, _ = plane.sizes.parts4
    asked = words[:first] if where == CELL else words[first:]
    asked &= ~np.uint64(bits)
    assert plane.run(packet(net[0])) == "drop"
    assert plane.explain(packet(net[0]), 1).entry is None
    assert sum(plane.check()) > 0
    assert plane.run(packet(net[0])) == "pass"
    assert plane.explain(packet(net[0]), 1).entry == Entry(1, 26)
    plane.apply(Difference(Tables(), tables))


def test_heads_of_a_group_stand_side_by_side(plane: DataPlane) -> None:
    hosts = [IPv4Network(f"10.{72 + n}.1.1/32") for n in range(8)]
    tables = Tables(entries=Entries.of({(HUB, host): Entry(1, 32) for host in hosts}))
    sum(plane.check())  # clears what tests before have left
    plane.apply(Difference(tables))
    assert {plane.run(packet(host[0])) for host in hosts} == {"pass"}
    used = np.flatnonzero(rows_of(plane, "lengths4")["word"].any(axis=1))
    assert used.tolist() == list(range(used[0] // 8 * 8, used[0] // 8 * 8 + 8))
    plane.apply(Difference(Tables(), tables))


@pytest.mark.parametrize("step", [1, 16, 256, 4096, 4097])
def test_few_strangers_are_taken_for_hosts_of_their_head(step: int) -> None:
    """Of 16 in a row, by most secrets: were bits spread by chance, 6 in 100 were."""
    chance = np.random.default_rng(4)
    low = np.arange(1 << 16, dtype=np.uint64) | np.uint64(203 << 24)
    is_host = np.isin(np.arange(1 << 16), np.arange(16) * step)
    shares = []
    for _ in range(50):
        words = chance.integers(0, 1 << 64, 4, np.uint64)
        words[1:3] |= np.uint64(1)
        secret = hashing.Secret(words)
        hashes = secret.hash_head(hashing.HOSTS4, np.ones_like(low), low >> np.uint64(16))
        first, second = blocks.of_hosts4(secret.hash_own4(hashes, low))
        cell = [np.bitwise_or.reduce(column[is_host]) for column in (first, second)]
        taken = (first & ~cell[0] | second & ~cell[1]) == 0
        assert taken[is_host].all()
        shares.append(float(taken[~is_host].mean()))
    assert np.mean(shares) < 0.09


@pytest.mark.parametrize("names", [("lengths4",), ("filter",), ("lengths4", "filter")])
def test_bits_too_many_change_no_verdict(names: tuple[str, ...], plane: DataPlane) -> None:
    """As where many share them: a prefix is found behind each length that there may be."""
    nets = [IPv4Network(f"10.{64 + 2 * length}.0.0/{length}") for length in range(16, 32)]
    tables = Tables(entries=Entries.of({(HUB, net): Entry(1, net.prefixlen) for net in nets}))
    plane.apply(Difference(tables))
    for name in names:
        rows_of(plane, name)["word"] = ~np.uint64(0)
    for net in nets:
        for source in (net[0], net[-1]):
            assert plane.run(packet(source)) == "pass", source
            assert plane.explain(packet(source), 1).entry == Entry(1, net.prefixlen)
        beyond = packet(ip_address(int(net[-1]) + 1))
        assert plane.run(beyond) == "drop"
        assert plane.explain(beyond, 1).entry is None
    assert sum(plane.check()) == 0
    assert not (rows_of(plane, names[0])["word"] == ~np.uint64(0)).any()
    assert {plane.run(packet(net[0])) for net in nets} == {"pass"}
    plane.apply(Difference(Tables(), tables))


def test_gateways_have_parts_of_their_own() -> None:
    gateways, parts = np.arange(1, 65, dtype=np.uint64), np.full(64, 0xA4D30, np.uint64)
    assert len(np.unique(SECRET.hash_part4(gateways, parts) >> np.uint64(48))) > 60


@pytest.mark.parametrize("bits", [2, 9, 15, 19])
def test_cells_and_parts_have_words_of_their_own(bits: int) -> None:
    sizes = Sizes((2, bits, 2, 2))
    first, parts_bits = sizes.parts4
    assert first == 2 << sizes.cells_bits[0]
    assert 2 * sizes.elements()["lengths4"] == first + (1 << parts_bits)


@pytest.mark.parametrize("number", [0, 1])
def test_packets_ask_all_that_says_who_is_a_host(number: int, plane: DataPlane) -> None:
    tables = Tables(entries=Entries.of({(HUB, IPv4Network("10.77.48.5/32")): Entry(1, 32)}))
    plane.apply(Difference(tables))
    first, _ = plane.sizes.parts4
    cells = rows_of(plane, "lengths4")["word"].reshape(-1)[:first].reshape(-1, 2)
    cells[:, number] &= np.uint64(0 if number else 0xFFFFFFFF)
    asked = packet(ip_address("10.77.48.5"))
    assert plane.run(asked) == "drop"
    assert plane.explain(asked, 1).entry is None
    assert sum(plane.check()) > 0
    assert plane.run(asked) == "pass"
    plane.apply(Difference(Tables(), tables))
