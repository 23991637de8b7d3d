"""Packets off the program, while it goes on judging: what is written down, and how that ends."""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgReader

from control import links
from control.captured import RING, Captured, Wanted, capturing, load
from control.dataplane import DataPlane
from control.flows import headers
from control.pcapng import Writer
from control.samples import possible_cpus
from lab.topology import BRANCH, GATEWAY, STRANGER, UPLINK
from lab.watch import wait_until
from tests.control.edge import PORT, SECONDS, Edge, udp
from tests.control.planes import SIZES

PEERGATE = Path(sys.executable).with_name("peergate")
WORDS = ("other", "bystander", "unprotected", "registered", "expired", "unregistered", "malformed")


def sources(packets: Iterable[Captured]) -> list[tuple[str, str, bool]]:
    return [(IP(each.data[14:]).src, each.verdict, each.drop) for each in packets]


def numbers(*words: str) -> frozenset[int]:
    return frozenset(map(WORDS.index, words))


def test_the_kernel_takes_it() -> None:
    """Run in each kernel: tests/vm/test_kernels.py."""
    with DataPlane.offline(SIZES) as plane, ExitStack() as stack:
        fd, _ = load(plane, stack)
        assert links.program_id(fd)


def test_packets_are_written_down_and_judged_as_ever(edge: Edge) -> None:
    edge.write_policy()
    agent = edge.start()
    usual = edge.program()
    found: list[Captured] = []
    with edge.net.router.entered(), DataPlane.current(edge.bpffs) as plane:
        assert plane.counted.verdict_words == WORDS
        wanted = Wanted(0, numbers("registered", "unregistered", "unprotected"), 256)
        until = time.monotonic() + SECONDS
        with capturing(edge.settings, plane, wanted, until) as reader:
            assert edge.program() == reader.program != usual

            def all_came() -> bool:
                found.extend(reader.read())
                return len(found) >= sent

            sent = 0
            with udp(edge.net.branch) as branch, udp(edge.net.stranger) as stranger:
                for number in range(20):
                    branch.sendto(bytes([number]) * (number + 1), (GATEWAY, PORT))
                    stranger.sendto(b"x" * 900, (GATEWAY, PORT))
                    # To nobody's gateway: nobody's business.
                    branch.sendto(b"x", ("198.51.100.129", PORT))
                    sent += 2
                    assert wait_until(all_came, SECONDS, 0.005)
            # The agent has looked at its interfaces meanwhile, and let the program be.
            assert edge.lets_in(branch=True)
            assert edge.program() == reader.program
            assert reader.missed == 0
        assert edge.program() == usual
    judged = sources(found[:40])
    assert judged.count((BRANCH, "registered", False)) == 20
    assert judged.count((STRANGER, "unregistered", True)) == 20
    mine = [each for each in found if each.verdict == "registered"][:20]
    payloads = [bytes(UDP(IP(each.data[14:])[UDP].build()).payload) for each in mine]
    assert [len(each.data) for each in mine] == [each.length for each in mine]
    assert payloads == [bytes([number]) * (number + 1) for number in range(20)]
    strange = [each for each in found if each.verdict == "unregistered"]
    assert {(len(each.data), each.length) for each in strange if each.length > 500} == {(256, 942)}
    assert [each.time for each in found] == sorted(each.time for each in found)
    assert not agent.said("put back")
    # Each was counted once.
    assert edge.counter("registered_pass").packets >= 20


def test_only_what_is_wanted_and_no_more_than_there_may_be(edge: Edge) -> None:
    edge.write_policy()
    edge.start()
    with edge.net.router.entered(), DataPlane.current(edge.bpffs) as plane:
        before = edge.counter("unregistered_drop").packets
        wanted, until = Wanted(1, numbers("unregistered"), 14), time.monotonic() + SECONDS
        with capturing(edge.settings, plane, wanted, until) as reader:
            with udp(edge.net.branch) as branch, udp(edge.net.stranger) as stranger:
                for _ in range(500):
                    stranger.sendto(b"x", (GATEWAY, PORT))
                    branch.sendto(b"x", (GATEWAY, PORT))
            assert wait_until(
                lambda: edge.counter("unregistered_drop").packets >= before + 500, SECONDS
            )
            found = reader.read()
            # Of each CPU half a ring, until it is read again; nothing after two seconds.
            assert 0 < len(found) <= RING // 2 * len(possible_cpus())
            assert 0 < reader.missed <= 500 - len(found)
            assert {(each.verdict, len(each.data)) for each in found} == {("unregistered", 14)}
        wanted = Wanted(9, numbers("unregistered"), 14)
        with capturing(edge.settings, plane, wanted, until) as reader:
            with udp(edge.net.stranger) as stranger:
                stranger.sendto(b"x", (GATEWAY, PORT))
            assert wait_until(
                lambda: edge.counter("unregistered_drop").packets >= before + 501, SECONDS
            )
            assert (reader.read(), reader.missed) == ([], 0)


def test_the_command_writes_a_file_and_the_agent_ends_it_if_that_dies(edge: Edge) -> None:
    edge.write_policy()
    agent = edge.start()
    usual = edge.program()
    file = edge.directory / "out.pcapng"
    config = ("--config", str(edge.directory / "agent.toml"))
    words: list[str | Path] = [PEERGATE, "capture", "-w", file, *config]
    process = edge.net.router.popen([*words, "-c", "5", "--verdict", "unregistered"])
    assert wait_until(lambda: edge.program() not in (None, usual), SECONDS)
    with udp(edge.net.stranger) as stranger:
        for _ in range(5):
            stranger.sendto(b"secret", (GATEWAY, PORT))
    assert process.wait(SECONDS) == 0
    assert edge.program() == usual
    with PcapNgReader(str(file)) as reader:
        packets = list(reader)
    assert len(packets) == 5
    for packet in packets:
        assert packet.comments == [b"verdict unregistered, action drop, gateway hub"]
        assert (packet[IP].src, packet[UDP].dport, packet.wirelen) == (STRANGER, PORT, 48)
        assert packet.sniffed_on == UPLINK
        assert b"secret" not in bytes(packet)
    dying = edge.net.router.popen([*words, "-c", "1000"])
    assert wait_until(lambda: edge.program() not in (None, usual), SECONDS)
    dying.kill()
    dying.wait()
    assert wait_until(lambda: edge.program() == usual, SECONDS)
    agent.wait_for("a capture did not end itself: program [0-9]+ is back")
    assert edge.lets_in(branch=True)
    # Packets were judged all the while: nobody is told that they were not.
    assert not agent.said("was taken off")
    refused = edge.net.router.run([*words, "--gateway", "nobody"])
    assert (refused.returncode, "this router has none" in refused.stderr) == (2, True)


def test_it_ends_on_time_where_nobody_reads_it(edge: Edge) -> None:
    edge.write_policy()
    edge.start()
    usual = edge.program()
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 8192)
    config = ("--config", str(edge.directory / "agent.toml"))
    words: list[str | Path] = [PEERGATE, "capture", "-w", "-", "-c", "1000", *config]
    process = edge.net.router.popen([*words, "--seconds", "5"], stdout=write)
    assert wait_until(lambda: edge.program() not in (None, usual), SECONDS)
    with udp(edge.net.stranger) as stranger:
        for _ in range(100):
            stranger.sendto(b"x", (GATEWAY, PORT))
            time.sleep(0.001)
    assert process.wait(SECONDS) == 0
    assert edge.program() == usual
    os.close(write)
    # It was full.
    assert len(os.read(read, 1 << 16)) > 1000
    os.close(read)


def test_stopped_it_holds_up_nobody_for_longer(edge: Edge) -> None:
    """As by Ctrl-Z, and forgotten."""
    edge.write_policy()
    agent = edge.start()
    usual = edge.program()
    config = ("--config", str(edge.directory / "agent.toml"))
    words: list[str | Path] = [PEERGATE, "capture", "-w", edge.directory / "out.pcapng", *config]
    process = edge.net.router.popen([*words, "--seconds", "3"])
    assert wait_until(lambda: edge.program() not in (None, usual), SECONDS)
    process.send_signal(signal.SIGSTOP)
    try:
        assert wait_until(lambda: edge.program() == usual, SECONDS)
        agent.wait_for("a capture did not end itself")
        # It has the lock still. Who is refused is told whose it is, and leaves nothing behind.
        pinned = sorted(edge.bpffs.glob("*/program-*"))
        refused = edge.net.router.run(words)
        assert refused.returncode != 0
        assert f"process {process.pid} captures on this router; end it first" in refused.stderr
        assert sorted(edge.bpffs.glob("*/program-*")) == pinned
        assert not agent.said("was taken off")
    finally:
        process.send_signal(signal.SIGCONT)
    assert process.wait(SECONDS) == 0
    assert edge.program() == usual


def test_of_a_frame_the_headers(tmp_path: Path) -> None:
    link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    ip = IP(src=STRANGER, dst=GATEWAY)
    tcp = TCP(options=[("MSS", 1460), ("NOP", None), ("NOP", None)])
    for frame, size in (
        (link / ip / UDP() / b"payload", 42),
        (link / ip / tcp, 62),
    ):
        assert len(headers(bytes(frame / b"more"))) == size
    assert headers(b"short") == b"short"
    file = tmp_path / "x.pcapng"
    with file.open("wb") as stream:
        out = Writer(stream, "test")
        out.write("uplink", 1_764_000_000_123_456_789, b"x" * 15, 1500, "\u00e9 comment")
        assert out.bytes == file.stat().st_size
    with PcapNgReader(str(file)) as reader:
        (packet,) = list(reader)
    assert packet.comments == ["\u00e9 comment".encode()]
    assert float(packet.time) == pytest.approx(1_764_000_000.123456789)
