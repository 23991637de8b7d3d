"""Namespaces, links and processes come up, are apart, and are gone afterwards."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from lab import topology
from lab.netns import LabError, Namespace, namespaces, veth
from lab.topology import Topology
from lab.watch import Watch, wait_until

ROOT = Path(__file__).parents[2]


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def own_namespace() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def test_two_namespaces_of_one_name_are_apart() -> None:
    with Namespace("same") as a, Namespace("same") as b:
        assert a.path.stat().st_ino != b.path.stat().st_ino
        assert a.links() == {"lo": 1}


def test_the_caller_is_back_home_after_entering_also_after_an_error() -> None:
    home = own_namespace()

    def fail(namespace: Namespace) -> None:
        with namespace.entered():
            assert own_namespace() == namespace.path.stat().st_ino
            raise ZeroDivisionError

    with Namespace("inside") as inside:
        with pytest.raises(ZeroDivisionError):
            fail(inside)
        assert own_namespace() == home


def test_a_process_sees_its_namespace_and_ends_with_it() -> None:
    with Namespace("process") as namespace:
        seen = namespace.run(["readlink", "/proc/self/ns/net"]).stdout.strip()
        assert seen == f"net:[{namespace.path.stat().st_ino}]"
        sleeper = namespace.popen(["sleep", "1000"])
        assert sleeper.poll() is None
    assert sleeper.returncode is not None
    assert not Path(f"/proc/{sleeper.pid}").exists()


def test_a_command_that_cannot_be_run_says_so() -> None:
    with Namespace("command") as namespace:
        assert namespace.run(["cat"], text="in").stdout == "in"
        with pytest.raises(LabError, match="no-such-program is not installed"):
            namespace.run(["no-such-program"])
        with pytest.raises(LabError, match="exit 3: why"):
            namespace.run(["sh", "-c", "echo why >&2; exit 3"], check=True)
        with pytest.raises(LabError, match="sleep 60: not done after"):
            namespace.run(["sleep", "60"], timeout=0.1)


def test_a_process_that_ignores_sigterm_ends_too() -> None:
    with Namespace("stubborn") as namespace:
        stubborn = namespace.popen(
            ["bash", "-c", "trap '' TERM; echo ready; while :; do read -t 60 <> <(:); done"],
            stdout=subprocess.PIPE,
        )
        assert stubborn.stdout is not None
        assert stubborn.stdout.readline() == "ready\n"
    assert stubborn.returncode == -9


def test_a_namespace_goes_when_the_body_fails() -> None:
    namespace = Namespace("failing")
    started = []

    def fail() -> None:
        with namespace:
            started.append(namespace.popen(["sleep", "1000"]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert started[0].returncode is not None
    assert namespace.fd == -1


def test_nothing_outlives_a_killed_process() -> None:
    """What a run that is killed leaves: its children die, and with them the namespace."""
    script = (
        "import sys, time; from lab.netns import Namespace; n = Namespace('killed');"
        "p = n.popen(['sleep', '1000']); print(p.pid, flush=True); time.sleep(1000)"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with run:
        assert run.stdout is not None
        sleeper = int(run.stdout.readline())
        name = Path(f"/proc/{sleeper}/comm")
        assert wait_until(lambda: name.read_text() == "sleep\n", 5)
        run.kill()
    assert wait_until(lambda: not alive(sleeper), 5)


def test_links_are_joined_renamed_deleted() -> None:
    with namespaces("links", "a", "b") as (a, b):
        veth(a, "one", b, "two")
        a.down("one")
        a.rename("one", "other")
        assert set(a.links()) == {"lo", "other"}
        a.up("other")
        a.delete("other")
        assert set(b.links()) == {"lo"}
        with pytest.raises(LabError, match="links-a has no link other"):
            a.up("other")


def test_sysctl_is_the_namespaces_own() -> None:
    with namespaces("sysctl", "a", "b") as (a, b):
        a.forward()
        key = ["cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"]
        assert a.run(key).stdout.split() == ["1", "1"]
        assert b.run(key).stdout.split() != ["1", "1"]


@pytest.mark.parametrize(
    "address",
    [topology.GATEWAY, topology.BYSTANDER, topology.GATEWAY_V6, topology.BYSTANDER_V6],
)
def test_branch_and_stranger_reach_the_hosts_behind_the_router(address: str) -> None:
    with Topology("reach") as net:
        for client in (net.branch, net.stranger):
            client.run(["ping", "-c1", "-W2", address], check=True)
        net.router.run(["ping", "-c1", "-W2", topology.REGISTRY], check=True)


def test_watch_counts_by_source_and_service_and_not_what_goes_out() -> None:
    with Topology("watch") as net, Watch(net.gateway, "eth0") as watch:
        with net.branch.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for _ in range(3):
                client.sendto(b"x", (topology.GATEWAY, 51820))
        assert wait_until(lambda: watch.count(topology.BRANCH, 17, 51820) == 3, 5)
        assert watch.count(topology.BRANCH) == 3
        assert watch.count(topology.BRANCH, 17, 51821) == 0
        assert watch.count(topology.STRANGER) == 0
        assert watch.count(topology.GATEWAY) == 0  # its "port unreachable" went out


def test_raw_frames_are_forwarded() -> None:
    with Topology("raw") as net, Watch(net.gateway, "eth0") as watch:
        frame = (
            Ether(src=net.branch.mac("eth0"), dst=net.internet.mac("branch"))
            / IP(src=topology.BRANCH, dst=topology.GATEWAY)
            / UDP(sport=4000, dport=1194)
            / b"handshake"
        )
        with net.branch.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0))
            raw.send(bytes(frame))
        assert wait_until(lambda: watch.count(topology.BRANCH, 17, 1194) == 1, 5)
