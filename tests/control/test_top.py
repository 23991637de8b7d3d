"""What `peergate top` sees of real packets, and that it takes keys on a real terminal."""

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time
from ipaddress import ip_address
from pathlib import Path

import pytest

from control.tap import MOST_ADDRESSES, Tap, filtering
from control.top import Watcher
from lab.topology import BRANCH, GATEWAY, GATEWAY_V6, STRANGER, UPLINK
from lab.watch import wait_until
from tests.control.edge import BRANCH_PEER, PORT, SECONDS, Edge, udp

PEERGATE = Path(sys.executable).with_name("peergate")


def test_rates_and_who_is_behind_them(edge: Edge) -> None:
    edge.write_policy()
    edge.start()
    snapshot = edge.state_dir / "snapshot.json"
    assert wait_until(snapshot.exists, SECONDS)
    with edge.net.router.entered(), Watcher(edge.settings) as watcher:
        watcher.view()
        with udp(edge.net.branch) as branch, udp(edge.net.stranger) as stranger:
            for _ in range(40):
                branch.sendto(b"x", (GATEWAY, PORT))
            for _ in range(10):
                stranger.sendto(b"x", (GATEWAY, PORT))
                stranger.sendto(b"x", (GATEWAY, 9))

        def all_came() -> bool:
            counted = edge.status().gateways[0].counters
            return (counted["registered_pass"].packets, counted["unregistered_drop"].packets) == (
                40,
                10,
            )

        assert wait_until(all_came, SECONDS)
        view = watcher.view()
        assert view.agent is not None
        assert view.troubles == ()
        (hub,) = (each for each in view.gateways if each.name == "hub")
        assert hub.enforces
        packets = {name: round(rate.packets * view.seconds) for name, rate in hub.rates.items()}
        assert packets == {"registered_pass": 40, "unregistered_drop": 10, "unprotected_pass": 10}
        (peer,) = view.peers
        assert (peer.gateway, peer.source, peer.who) == ("hub", ip_address(BRANCH), "branch")
        # So few are not sampled, but all looked at; what they are is counted.
        assert (peer.samples, round(peer.packets * view.seconds)) == (40, 40)
        (knocking,) = view.strangers
        assert (knocking.gateway, knocking.source) == ("hub", ip_address(STRANGER))
        assert (knocking.who, knocking.dropped) == (f"udp/{PORT}", True)
        assert round(knocking.packets * view.seconds) == 10
        assert watcher.view().peers == ()
        # One that is registered while it runs has its name, too, once that is on disk.
        edge.write_policy([BRANCH_PEER, {**BRANCH_PEER, "name": "late", "sources": [STRANGER]}])
        assert wait_until(lambda: "late" in snapshot.read_text(), SECONDS)

        def knows_it() -> bool:
            with udp(edge.net.stranger) as late:
                late.sendto(b"x", (GATEWAY, PORT))
            return any(each.who == "late" for each in watcher.view().peers)

        assert wait_until(knows_it, SECONDS)


def test_a_tap_takes_what_is_sent_to_gateways(edge: Edge) -> None:
    addresses = [ip_address(GATEWAY), ip_address("192.0.2.200"), ip_address(GATEWAY_V6)]
    crowd = [ip_address(f"10.0.{n}.1") for n in range(MOST_ADDRESSES - 3)]
    with edge.net.router.entered(), Tap(UPLINK, [*crowd, *addresses]) as tap:
        tap.take_one_in(1)
        taken: list[bytes] = []
        with udp(edge.net.branch) as branch:
            for address, port in ((GATEWAY, 1), ("198.51.100.129", 2), (GATEWAY, 3)):
                branch.sendto(b"tap", (address, port))

        def came() -> bool:
            taken.extend(frame for frame in tap.read(100) if frame.endswith(b"tap"))
            return len(taken) >= 2

        assert wait_until(came, SECONDS)
        tap.take_one_in(1 << 30)
        assert [int.from_bytes(frame[36:38]) for frame in taken] == [1, 3]


def test_the_filter_is_as_long_as_the_kernel_takes() -> None:
    sixes = [ip_address(f"2001:db8::{n:x}") for n in range(MOST_ADDRESSES)]
    assert len(filtering(sixes, 7)) < 4096


def test_on_a_terminal_keys_sort_pause_and_end(edge: Edge) -> None:
    edge.write_policy()
    edge.start()
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(slave)
    config = str(edge.directory / "agent.toml")
    words: list[str | Path] = [PEERGATE, "top", "--interval", "0.5", "--config", config]
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = edge.net.router.popen(words, stdin=slave, stdout=slave, stderr=slave, env=environment)
    said = b""

    def shows(text: bytes) -> None:
        nonlocal said
        end = time.monotonic() + SECONDS
        while text not in said:
            assert time.monotonic() < end, said[-2000:]
            if select.select([master], [], [], 0.1)[0]:
                said += os.read(master, 1 << 16)
        said = b""

    try:
        shows(b"by rate")
        os.write(master, b"s")
        shows(b"by name")
        os.write(master, b"p")
        shows(b"by name, paused")
        os.write(master, b"q")
        assert process.wait(SECONDS) == 0
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("option", ["--once", "--json"])
def test_where_no_agent_has_been(edge: Edge, option: str) -> None:
    config = ("--config", str(edge.directory / "agent.toml"))
    done = edge.net.router.run([PEERGATE, "top", option, *config])
    assert (done.returncode, done.stdout) == (1, "")
    assert "no maps are pinned there; start the agent first" in done.stderr
