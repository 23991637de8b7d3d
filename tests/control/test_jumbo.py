"""Jumbo frames: 9,000 bytes pass through the program, judged and counted as what they are."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from control import links, pins, syscalls
from control.dataplane import DataPlane
from control.errors import LinkError
from control.refusal import Refusal, single_buffer_mtu
from lab.netns import Namespace
from lab.topology import BRANCH, GATEWAY, UPLINK
from lab.watch import wait_until
from tests.control.edge import PORT, SECONDS, SIZES, Edge, gateway, peer
from tests.control.test_agent_attach import foreign_program

MTU = 9000
TCP_PORT = 1194
HEADERS = 14 + 20 + 8  # Ethernet, IPv4, UDP
LARGE = b"x" * 8192


def large_frames(edge: Edge) -> None:
    """On the whole way from branch and stranger to the gateway."""
    net = edge.net
    ends = [(net.router, UPLINK), (net.router, "gateway"), (net.gateway, "eth0")]
    ends += [(net.internet, name) for name in ("router", "branch", "stranger")]
    for host, link in (*ends, (net.branch, "eth0"), (net.stranger, "eth0")):
        host.set_link(link, mtu=MTU)


@contextmanager
def listening(host: Namespace, kind: int, port: int) -> Iterator[socket.socket]:
    with host.socket(socket.AF_INET, kind) as server:
        server.settimeout(SECONDS)
        server.bind((GATEWAY, port))
        yield server


@pytest.mark.parametrize("attach", ["native", "generic"])
def test_large_datagrams_are_judged_and_counted_whole(edge: Edge, attach: str) -> None:
    large_frames(edge)
    edge.configure(attach=attach)
    edge.write_policy()
    edge.start()
    count = 20
    branch, stranger = edge.net.branch, edge.net.stranger
    with (
        listening(edge.net.gateway, socket.SOCK_DGRAM, PORT) as server,
        branch.socket(socket.AF_INET, socket.SOCK_DGRAM) as registered,
        stranger.socket(socket.AF_INET, socket.SOCK_DGRAM) as unregistered,
    ):
        for number in range(count):
            unregistered.sendto(LARGE, (GATEWAY, PORT))
            registered.sendto(LARGE + bytes([number]), (GATEWAY, PORT))
            said, sender = server.recvfrom(1 << 16)
            assert (said, sender[0]) == (LARGE + bytes([number]), BRANCH)

    def counted(name: str) -> tuple[int, int]:
        found = edge.counter(name)
        return found.packets, found.bytes

    size = HEADERS + len(LARGE)
    assert wait_until(lambda: counted("unregistered_drop") == (count, count * size), SECONDS), (
        counted("unregistered_drop")
    )
    assert counted("registered_pass") == (count, count * (size + 1))


@pytest.mark.parametrize("attach", ["native", "generic"])
def test_a_large_stream_goes_through(edge: Edge, attach: str) -> None:
    """With the sender's offloads on, frames of up to 64 KiB."""
    large_frames(edge)
    edge.configure(attach=attach)
    service = gateway(services=[f"tcp/{TCP_PORT}"])
    edge.write_policy([peer("branch", BRANCH)], [service])
    edge.start()
    sent = os.urandom(1 << 20)
    got = bytearray()
    with (
        listening(edge.net.gateway, socket.SOCK_STREAM, TCP_PORT) as server,
        edge.net.branch.socket(socket.AF_INET, socket.SOCK_STREAM) as client,
    ):
        server.listen()
        client.settimeout(SECONDS)
        client.connect((GATEWAY, TCP_PORT))
        taken, _ = server.accept()
        with taken:
            taken.settimeout(SECONDS)
            at = 0
            while len(got) < len(sent):
                part = sent[at : at + (1 << 15)]
                at += len(part)
                client.sendall(part)
                while len(got) < at:
                    got += taken.recv(1 << 16)
    assert got == sent
    count = edge.counter("registered_pass")
    assert count.bytes > len(sent) + count.packets * (14 + 20 + 20)
    stranger = edge.net.stranger.socket(socket.AF_INET, socket.SOCK_STREAM)
    with stranger:
        stranger.setblocking(False)
        stranger.connect_ex((GATEWAY, TCP_PORT))
        assert wait_until(lambda: edge.counter("unregistered_drop").packets > 0, SECONDS)


def test_a_program_of_one_buffer_is_refused_with_the_limit(edge: Edge, bpffs: Path) -> None:
    """What a kernel before 5.18 has. Nothing is attached, and the mends are named."""
    large_frames(edge)
    with (
        DataPlane.pinned(bpffs, SIZES) as plane,
        DataPlane(SIZES, None, frags=False) as small,
        edge.net.router.entered(),
    ):
        programs = pins.Programs(bpffs)
        with pytest.raises(LinkError) as refused:
            links.ensure_attached(UPLINK, small.program_fd, "native", programs, frags=False)
        assert links.attachment(UPLINK).programs == ()
        message = refused.value.message
        assert message.startswith("uplink: driver veth refuses native attach at MTU 9000 (ERANGE,")
        assert "the kernel says: veth: Peer MTU is too large to set XDP" in message
        assert f"lower the MTU to {single_buffer_mtu()} or less" in message
        assert "use Linux 5.18 or later" in message
        assert 'attach = "generic"' in message
        found = links.ensure_attached(UPLINK, plane.program_fd, "native", programs, frags=True)
        assert found.programs == (("native", plane.program_id),)


def test_the_limit_is_the_kernels_own(edge: Edge) -> None:
    """Of a veth its peer's MTU counts."""
    with foreign_program(edge) as fd, edge.net.router.entered():
        for mtu, taken in ((single_buffer_mtu() + 1, False), (single_buffer_mtu(), True)):
            edge.net.internet.set_link("router", mtu=mtu)
            try:
                links.ensure_attached(UPLINK, fd, "native", pins.Programs(edge.bpffs))
            except LinkError:
                assert not taken
            else:
                assert taken


def test_what_would_lose_frames_is_not_attached() -> None:
    """Before Linux 6.3 virtio_net takes a program at MTUs at which it loses frames."""
    limit = single_buffer_mtu("virtio_net")
    assert limit < single_buffer_mtu()
    assert Refusal("eth0", "virtio_net", "native", limit, frags=False).foreseen() is None
    assert Refusal("eth0", "virtio_net", "native", limit + 1, frags=True).foreseen() is None
    assert Refusal("eth0", "virtio_net", "generic", limit + 1, frags=False).foreseen() is None
    refused = Refusal("eth0", "virtio_net", "native", limit + 1, frags=False).foreseen()
    assert refused is not None
    assert f"up to MTU {limit}, and the MTU is {limit + 1}" in refused.message


def test_explaining_is_the_same_for_large_frames() -> None:
    with DataPlane.offline(SIZES) as plane:
        assert plane.frags
        assert plane.explain(b"\0" * MTU, 0).verdict == "other"
        assert syscalls.test_run(plane.program_fd, b"\0" * MTU) == 2
        assert plane.counters()[0]["other_pass"].bytes == MTU
