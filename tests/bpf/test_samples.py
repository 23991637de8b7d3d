"""Samples of strangers' packets: which are written down, what they say, and how many."""

import os
import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from scapy.layers.l2 import GRE, Dot1Q

from control import syscalls
from control.columns import Rows
from control.dataplane import DataPlane
from control.samples import RING
from tests.bpf import site
from tests.bpf.bench import NOW, Bench
from tests.bpf.frames import LATER, Layer, ether, ip, piece, tcp, udp

SAMPLES = 256  # PG_SAMPLES
# Each test begins in one of its own.
_EPOCHS = count(1_000, 1_000)


@pytest.fixture(autouse=True)
def one_cpu() -> Iterator[None]:
    """Each CPU samples by itself."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture
def plane(bench: Bench) -> Iterator[DataPlane]:
    """In an epoch in which every packet is sampled: what came long before says nothing."""
    plane = bench.plane
    plane.set_clock(NOW - time.monotonic_ns())
    plane.samples.read()
    plane.begin_epoch(next(_EPOCHS))
    yield plane
    plane.begin_epoch(0)


def begin(plane: DataPlane, later: int = 1) -> None:
    plane.samples.read()
    plane.begin_epoch(plane.epoch() + later)


def send(plane: DataPlane, packet: Layer, times: int = 1) -> Rows:
    for _ in range(times):
        plane.run(ether(packet))
    return plane.samples.read().rows


def flood(plane: DataPlane, packet: Layer, times: int) -> int:
    """How many samples it left."""
    syscalls.time_run(plane.program_fd, ether(packet), times)
    return len(plane.samples.read().rows)


def stranger(family: int, there: dict[int, str] = site.GATEWAY) -> Layer:
    return ip(site.STRANGER[family], there[family])


NUMBER = {4: [0, 0xC0000242], 6: [0x20010DB80BAD0000, 0x66]}

WHATS: dict[str, tuple[Callable[[int], Layer], int, int]] = {
    "UDP": (lambda family: stranger(family) / udp(), 17, 51820),
    "TCP": (lambda family: stranger(family) / tcp(1194), 6, 1194),
    "GRE": (lambda family: stranger(family) / GRE(), 47, 0),
    "UDP, a VLAN": (lambda family: Dot1Q(vlan=7) / stranger(family) / udp(500), 17, 500),
    "UDP, the first fragment": (
        lambda family: piece(
            site.STRANGER[family], site.GATEWAY[family], 17, 0, bytes(udp(4500)) + b"\0" * 56
        ),
        17,
        4500,
    ),
    "UDP, a later fragment": (
        lambda family: piece(site.STRANGER[family], site.GATEWAY[family], 17, LATER),
        17,
        0,
    ),
    "ESP, a later fragment": (
        lambda family: piece(site.STRANGER[family], site.GATEWAY[family], 50, LATER),
        50,
        0,
    ),
}


@pytest.mark.parametrize("what", WHATS)
def test_what_a_sample_says(what: str, family: int, plane: DataPlane) -> None:
    build, protocol, port = WHATS[what]
    (said,) = send(plane, build(family))
    assert said["number"].tolist() == NUMBER[family]
    assert (said["version"], said["gateway"], said["dropped"]) == (family, site.HUB, 1)
    assert (said["protocol"], said["port"]) == (protocol, port)


def test_whether_it_was_dropped_and_whose_it_is(family: int, plane: DataPlane) -> None:
    for there, upper, gateway, dropped in (
        (site.MONITORED, udp(), site.LAB, 0),
        (site.SHARED, udp(), site.EAST, 0),
        (site.SHARED, tcp(1194), site.WEST, 1),
    ):
        (said,) = send(plane, stranger(family, there) / upper)
        assert (said["gateway"], said["dropped"]) == (gateway, dropped)
    (said,) = send(plane, piece(site.STRANGER[family], site.SHARED[family], 17, LATER))
    assert (said["gateway"], said["dropped"], said["port"]) == (site.EAST, 1, 0)


def test_who_is_not_yet_valid_or_not_any_more_is_a_stranger_too(
    family: int, plane: DataPlane
) -> None:
    for source, there, gateway, dropped in (
        (site.FUTURE, site.GATEWAY, site.HUB, 1),
        (site.EXPIRED, site.GATEWAY, site.HUB, 1),
        (site.EXPIRED, site.MONITORED, site.LAB, 0),
    ):
        (said,) = send(plane, ip(source[family], there[family]) / udp())
        assert (said["gateway"], said["dropped"]) == (gateway, dropped)


def test_those_that_have_ended_are_sampled_among_the_others(plane: DataPlane) -> None:
    """As many in an epoch as of one kind alone, of each in its share."""
    packets = [stranger(4) / udp(), ip(site.EXPIRED[4], site.GATEWAY[4]) / udp()]
    assert sum(flood(plane, packet, 5_000) for packet in packets) == 2 * SAMPLES
    begin(plane)
    ours = [flood(plane, packet, 5_000) for packet in packets]
    assert all(0.7 * SAMPLES / 2 < each < 1.3 * SAMPLES / 2 for each in ours), ours


def test_no_other_packet_leaves_one(family: int, plane: DataPlane) -> None:
    hub = site.GATEWAY[family]
    malformed = bytearray(ether(stranger(family) / udp()))
    malformed[14] &= 0x0F
    assert plane.run(bytes(malformed)) == "drop"
    for packet in (
        ip(site.REGISTERED[family], hub) / udp(),
        ip(site.IN_PREFIX[family], hub) / udp(),
        stranger(family) / udp(53),
        stranger(family, site.ELSEWHERE) / udp(),
    ):
        assert not len(send(plane, packet))


def test_explaining_leaves_none(family: int, bench: Bench, plane: DataPlane) -> None:
    """`judge` asks both entry points."""
    assert bench.judge(ether(stranger(family) / udp())).verdict == "unregistered"
    assert len(plane.samples.read().rows) == 1
    plane.explain(ether(stranger(family) / udp()), 0)
    assert not len(plane.samples.read().rows)


def test_epoch_0_has_none_and_disturbs_none_later(plane: DataPlane) -> None:
    plane.begin_epoch(0)
    assert flood(plane, stranger(4) / udp(), 5_000) == 0
    plane.begin_epoch(1)
    assert flood(plane, stranger(4) / udp(), 100) == 100


def test_of_few_packets_all_are_sampled(plane: DataPlane) -> None:
    for _ in range(5):
        assert flood(plane, stranger(4) / udp(), SAMPLES - 1) == SAMPLES - 1
        begin(plane)


def test_of_many_packets_so_many_in_an_epoch(plane: DataPlane) -> None:
    """The first epoch of a flood is cut off, the next ones are spread over all of it."""
    packet = stranger(4) / udp()
    assert flood(plane, packet, 100_000) == 2 * SAMPLES
    for times in (100_000, 100_000, 1_000_000, 1_000_000):
        begin(plane)
        before = flood(plane, packet, times)
    # Within five standard errors: 3 * 256 is the variance's inverse, for uniform gaps.
    assert abs(before / SAMPLES - 1) < 5 / (3 * SAMPLES) ** 0.5
    begin(plane)
    parts = [flood(plane, packet, 250_000) for _ in range(4)]
    assert min(parts) > SAMPLES / 8


def test_without_an_agent_a_flood_leaves_no_more(plane: DataPlane) -> None:
    packet = stranger(4) / udp()
    assert flood(plane, packet, 1_000_000) == 2 * SAMPLES
    assert flood(plane, packet, 1_000_000) == 0


def test_after_a_flood_every_packet_is_sampled_again(plane: DataPlane) -> None:
    packet = stranger(4) / udp()
    flood(plane, packet, 1_000_000)
    begin(plane)
    assert flood(plane, packet, 1) == 0
    begin(plane)
    assert flood(plane, packet, 1) == 1
    flood(plane, packet, 1_000_000)
    begin(plane, 2)  # with an epoch in between that no packet saw
    assert flood(plane, packet, 1) == 1


def test_a_flood_of_one_gateway_hides_nobody_at_another(plane: DataPlane) -> None:
    for _ in range(3):
        flood(plane, stranger(4) / udp(), 1_000_000)
        assert len(send(plane, stranger(6, site.MONITORED) / udp())) == 1
        begin(plane)


def test_no_rhythm_of_a_sender_falls_in_with_the_sampling(plane: DataPlane) -> None:
    """Seventeen take turns, and one packet in seventeen is sampled: each has its share."""
    senders, rounds = 17, 16 * SAMPLES // 17 + 1
    packets = [ether(ip(f"192.0.2.{n}", site.GATEWAY[4]) / udp()) for n in range(senders)]
    seen = dict.fromkeys(range(senders), 0)
    for epoch in range(10):
        for _ in range(rounds):
            for packet in packets:
                plane.run(packet)
        for low in plane.samples.read().rows["number"][:, 1].tolist():
            seen[low & 0xFF] += epoch > 0
        begin(plane)
    mean = sum(seen.values()) / senders
    assert abs(mean / (9 * rounds / 17) - 1) < 0.1
    assert all(abs(count - mean) < 5 * mean**0.5 for count in seen.values()), seen


def test_of_more_than_a_ring_the_newest_are_read(plane: DataPlane) -> None:
    packets = [stranger(4) / udp(), stranger(6, site.MONITORED) / udp()]
    for _ in range(2):
        for packet in packets:
            syscalls.time_run(plane.program_fd, ether(packet), 10_000)
        plane.begin_epoch(plane.epoch() + 2)
    plane.run(ether(packets[0]))
    rows = plane.samples.read().rows
    sequences = rows["sequence"].astype(int)
    assert len(rows) == RING - 1
    assert (sequences == sequences[0] + range(RING - 1)).all()
    assert rows[-1]["number"].tolist() == NUMBER[4]
    assert not len(plane.samples.read().rows)
