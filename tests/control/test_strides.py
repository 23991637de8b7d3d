"""Prefixes of many lengths beside each other: which are looked for, and what is found."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network

import numpy as np
import pytest

from control import blocks, hashing
from control.dataplane import DataPlane
from control.entries import Entries, Entry
from control.model import Difference, Tables
from control.plan import difference
from control.sizes import Sizes
from policy.prefixes import Address
from tests.bpf.frames import ether, ip, udp
from tests.bpf.site import GATEWAY, HUB, SITE, beside
from tests.control.planes import rows_of

SOURCES: tuple[tuple[Address, int], ...] = (
    (IPv4Address("203.0.113.86"), 8),
    (IPv6Address("2001:db8:1234:5678:9abc:def0:1357:9bdf"), 16),
)


@pytest.fixture(scope="module")
def plane() -> Iterator[DataPlane]:
    with DataPlane.offline(Sizes.room_for(64, 256, 16)) as made:
        made.apply(difference(made.held(), Tables(SITE.gateways, SITE.targets)))
        yield made


def name(address: int, length: int) -> tuple[int, int]:
    """As two numbers."""
    both = address | 1 << 127 - length
    return both >> 64, both & (1 << 64) - 1


def numbers(pairs: list[tuple[int, int]]) -> tuple[hashing.Column, hashing.Column]:
    high, low = np.array(pairs, np.uint64).T
    return high, low


@pytest.mark.parametrize("length", range(16, 128))
def test_a_prefix_is_in_its_stride_as_those_that_it_is_made_of(length: int) -> None:
    nets = [IPv6Network((int(SOURCES[1][0]), length), strict=False), IPv6Network(f"::/{length}")]
    whose, high, low, end = hashing.strides(
        *numbers([name(int(net.network_address), length) for net in nets])
    )
    longest = -(-length // 4) * 4
    parts = [[int(part[0]) for part in net.subnets(new_prefix=longest)] for net in nets]
    assert [int(h) << 64 | int(lo) for h, lo in zip(high, low, strict=True)] == [
        *parts[0],
        *parts[1],
    ]
    assert whose.tolist() == [0] * len(parts[0]) + [1] * len(parts[1])
    assert {int(h) << 64 | int(lo) for h, lo in zip(*end, strict=True)} == {1 << 128 - longest}


@pytest.mark.parametrize("bits", ["0" * 96, "1000" * 24, "1" * 96, "00010001" * 12])
def test_no_two_strides_of_an_address_and_of_one_beside_it_are_alike(bits: str) -> None:
    """As they would be if the end were a bit of a number that addresses have, too."""
    secret = hashing.Secret(np.array([7**22, 3**40, 5**27, 11**18], np.uint64))
    source = IPv6Address(0x20010DB8 << 96 | int(bits, 2))
    nets = {IPv6Network((source, length), strict=False) for length in range(36, 129, 4)}
    nets |= {IPv6Network((int(net[0]) ^ 1 << 128 - net.prefixlen, net.prefixlen)) for net in nets}
    high, low = numbers([(int(net[0]) >> 64, int(net[0]) & (1 << 64) - 1) for net in nets])
    ends = [1 << 128 - net.prefixlen for net in nets]
    end = numbers([(bit >> 64, bit & (1 << 64) - 1) for bit in ends])
    hashes = secret.hash_stride(np.ones(len(nets), np.uint64), high, low, end)
    assert len(set((hashes >> np.uint64(28)).tolist())) == len(nets)


@pytest.mark.parametrize("length", range(48, 129, 4))
def test_few_are_taken_for_prefixes_beside_them(length: int) -> None:
    """Every second one of some in a row is there, in twice as many words."""
    secret = hashing.Secret(np.array([7**22, 3**40, 5**27, 11**18], np.uint64))
    last = 1 << 128 - length
    row = [0x20010DB8 << 96 | number * last for number in range(2048)]
    high, low = numbers([(each >> 64, each & (1 << 64) - 1) for each in row])
    end = numbers([(last >> 64, last & (1 << 64) - 1)] * len(row))
    hashes = secret.hash_stride(np.ones(len(row), np.uint64), high, low, end)
    at, bits = blocks.of_strides(hashes, np.uint64(64 - 11))
    words = np.zeros(1 << 11, np.uint64)
    np.bitwise_or.at(words, at[::2], bits[::2])
    asked = words[at[1::2]] & bits[1::2] == bits[1::2]
    assert np.mean(asked) < 0.02


def packet(source: Address) -> bytes:
    return ether(ip(str(source), GATEWAY[source.version]) / udp())


@pytest.mark.parametrize(("source", "shortest"), SOURCES)
def test_prefixes_of_each_length_beside_a_stranger(
    plane: DataPlane, source: Address, shortest: int
) -> None:
    nets = list(beside(source, shortest))
    held = {(HUB, net): Entry(100 + net.prefixlen, net.prefixlen) for net in nets}
    tables = Tables(entries=Entries.of(held))
    plane.apply(Difference(tables))
    assert plane.explain(packet(source), 1).entry is None
    assert plane.run(packet(source)) == "drop"
    for net in nets:
        for inside in (net[0], net[-1]):
            assert plane.explain(packet(inside), 1).entry == held[HUB, net], net
            assert plane.run(packet(inside)) == "pass"
    plane.apply(Difference(Tables(), tables))
    assert sum(plane.check()) == 0


@pytest.mark.parametrize(("source", "shortest"), SOURCES)
def test_a_prefix_of_any_length_is_found_alone(
    plane: DataPlane, source: Address, shortest: int
) -> None:
    for net in beside(source, shortest):
        tables = Tables(entries=Entries.of({(HUB, net): Entry(1, net.prefixlen)}))
        plane.apply(Difference(tables))
        assert plane.run(packet(net[0])) == plane.run(packet(net[-1])) == "pass", net
        assert plane.run(packet(source)) == "drop", net
        plane.apply(Difference(Tables(), tables))
        assert plane.run(packet(net[0])) == "drop", net


def test_packets_ask_strides_and_a_check_puts_them_right(plane: DataPlane) -> None:
    nets = list(beside(*SOURCES[1]))
    tables = Tables(entries=Entries.of({(HUB, net): Entry(1, net.prefixlen) for net in nets}))
    first, bits = plane.sizes.strides
    words = rows_of(plane, "filter")["word"].reshape(-1)[first:][: 1 << bits]
    plane.apply(Difference(tables))
    words[:] = 0
    assert {plane.run(packet(net[0])) for net in nets} == {"drop"}
    assert sum(plane.check()) > 0
    assert {plane.run(packet(net[0])) for net in nets} == {"pass"}
    plane.apply(Difference(Tables(), tables))
    assert sum(plane.check()) == 0
    assert not words.any()
