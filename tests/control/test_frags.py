"""Frames in several buffers: whatever part of them the first one holds, the verdict is the same.

Some drivers leave it nearly empty. What is not in it cannot be read in place, and a program that
took that for the end of the frame would let the packet pass as `other`. Frames like these can be
made by BPF_PROG_TEST_RUN from Linux 6.18 on; so these tests are not among those of tests/bpf,
which run in every kernel. How long such a frame is the kernel is asked where the frame's flags say
that it is one, or for every packet where they cannot be read.
"""

from collections.abc import Iterator

import pytest
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, PadN

from control import loader, syscalls
from control.dataplane import ACTIONS, DataPlane
from control.frame_flags import FrameFlags, frame_flags
from control.program import program
from control.sizes import Sizes
from tests.bpf.bench import Bench
from tests.bpf.frames import HEADER, ether, ip, piece, protocol, tcp, udp
from tests.bpf.site import (
    ELSEWHERE,
    EXPIRED,
    GATEWAY,
    HUB,
    MONITORED,
    REGISTERED,
    SITE,
    STRANGER,
)

LARGE = b"x" * 3000


@pytest.fixture(scope="module", params=["flags", "asked"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The program that reads a frame's flags, and the one of a kernel that does not say where."""
    program.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "asked":
            patch.setattr("control.program.frame_flags", lambda: None)
        with DataPlane.offline(Sizes.room_for(128, 128, 32)) as plane:
            made = Bench(plane)
            made.hold(SITE)
            yield made
    program.cache_clear()


def test_the_kernel_says_where_the_flags_are() -> None:
    """And refuses the program that would read them anywhere else, or calls another function."""
    flags = frame_flags()
    assert flags is not None
    assert loader.has_frame_flags(flags)
    assert not loader.has_frame_flags(FrameFlags(flags.cast, 4096))
    assert not loader.has_frame_flags(FrameFlags(1, flags.at))


def frames(family: int) -> dict[str, bytes]:
    source, stranger, gateway = REGISTERED[family], STRANGER[family], GATEWAY[family]
    tags = bytes.fromhex("88a8000181000002")
    plain = ether(ip(stranger, gateway) / udp(payload=LARGE))
    return {
        "registered": ether(ip(source, gateway) / udp(payload=LARGE)),
        "unregistered": plain,
        "expired": ether(ip(EXPIRED[family], gateway) / tcp(1194, LARGE)),
        "monitored": ether(ip(stranger, MONITORED[family]) / udp(payload=LARGE)),
        "bystander": ether(ip(stranger, ELSEWHERE[family]) / udp(payload=LARGE)),
        "unprotected": ether(ip(stranger, gateway) / tcp(22, LARGE)),
        "portless": ether(ip(stranger, gateway, **protocol(family, 50)) / LARGE),
        "later fragment": ether(piece(stranger, gateway, 17, 185, LARGE)),
        "two tags": plain[:12] + tags + plain[12:],
        "cut off": plain[: HEADER + 22],
        "short": ether(ip(stranger, gateway) / udp(payload=b"")),
    }


@pytest.mark.parametrize("name", frames(4))
@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
def test_the_first_buffer_changes_nothing(bench: Bench, family: int, name: str) -> None:
    frame = frames(family)[name]
    bench.judge(frame[:2048])  # also sets the clock
    whole = judged(bench, frame, len(frame))
    assert sum(whole.values()) == len(frame)
    for first in (14, 15, 18, 22, 30, 33, 34, 38, 41, 42, 46, 54, 58, 61, 62, 1000, 1100):
        if first < len(frame):
            assert judged(bench, frame, first) == whole, f"{first} bytes in the first buffer"


def judged(bench: Bench, frame: bytes, first: int) -> dict[tuple[int, str], int]:
    """What is counted of a frame with `first` bytes in its first buffer: one packet, its bytes."""
    plane = bench.plane
    before = plane.counters()
    action = ACTIONS[syscalls.test_run(plane.program_fd, frame, first)]
    after = plane.counters()
    found = {}
    for number, counts in after.items():
        for counter, count in counts.items():
            old = before[number][counter]
            if count != old:
                assert count.packets == old.packets + 1
                assert counter.endswith(action)
                found[number, counter] = count.bytes - old.bytes
    assert len(found) == 1
    return found


def test_a_long_header_chain_beyond_the_first_buffer(bench: Bench) -> None:
    """Destination options of 256 bytes, three of them, then the port: all of it was copied."""
    options = [IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 252)]) for _ in range(3)]
    chain = ip(STRANGER[6], GATEWAY[6])
    for each in options:
        chain = chain / each
    frame = ether(chain / udp(payload=LARGE))
    bench.judge(frame[:2048])
    for first in (14, 60, 500, 900):
        assert judged(bench, frame, first) == {(HUB, "unregistered_drop"): len(frame)}


@pytest.mark.parametrize(
    "name", ["unregistered", "monitored", "portless", "later fragment", "two tags", "short"]
)
@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
def test_nor_does_it_change_a_sample(bench: Bench, family: int, name: str) -> None:
    """What it says is read from the packet once more."""
    frame = frames(family)[name]
    whole = sampled(bench, frame, len(frame))
    for first in (14, 18, 33, 34, 38, 42, 54, 58, 61, 62):
        if first < len(frame):
            assert sampled(bench, frame, first) == whole, f"{first} bytes in the first buffer"


def sampled(bench: Bench, frame: bytes, first: int) -> bytes:
    """The one sample that it leaves, but for its number."""
    plane = bench.plane
    plane.samples.read()
    plane.begin_epoch(plane.epoch() + 2)
    syscalls.test_run(plane.program_fd, frame, first)
    plane.begin_epoch(0)
    (sample,) = plane.samples.read().rows
    assert sample["number"].any()
    sample["sequence"] = 0
    return bytes(sample.tobytes())
