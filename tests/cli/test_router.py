"""agent, status, explain and detach on a router: processes in a namespace of its own."""

import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from control import state
from control.settings import load_settings
from lab.netns import Namespace, veth
from lab.watch import wait_until
from tests.cli.test_apply import POLICY
from tests.control.edge import gateway, many_peers

PEERGATE = Path(sys.executable).with_name("peergate")
SECONDS = 20.0
MNT_DETACH = 2
PACKET = ("--dst", "198.51.100.1", "--proto", "udp", "--dport", "51820")


@dataclass(frozen=True, slots=True)
class Router:
    """A namespace with an uplink, the agent's settings, and a policy file."""

    namespace: Namespace
    config: Path
    policy: Path

    def peergate(self, command: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        done = self.namespace.run([PEERGATE, command, "--config", self.config, *arguments])
        assert "Traceback" not in done.stdout + done.stderr
        return done

    def status(self) -> Any:  # noqa: ANN401  # JSON
        done = self.peergate("status", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["router"]


@pytest.fixture
def router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Router]:
    monkeypatch.delenv("PEERGATE_URL", raising=False)
    config, policy = tmp_path / "agent.toml", tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    config.write_text(
        f'router = "edge-1"\ninterfaces = ["uplink"]\nmax_hosts = 1024\nmax_prefixes = 1024\n'
        f'max_gateways = 16\nstate_dir = "{tmp_path}/state"\nbpffs = "{tmp_path}/bpf"\n'
    )
    label = f"cli-{os.getpid()}"
    with Namespace(f"{label}-router") as namespace, Namespace(f"{label}-internet") as internet:
        veth(namespace, "uplink", internet, "router")
        yield Router(namespace, config, policy)
    ctypes.CDLL(None).umount2(os.fsencode(tmp_path / "bpf"), MNT_DETACH)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    """Where systemd hears what its services tell."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.settimeout(SECONDS)
        yield notified


@pytest.fixture
def agent(router: Router, tmp_path: Path, told: socket.socket) -> "subprocess.Popen[str]":
    """A running agent that has said that it is ready, as to systemd."""
    supervised = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
    with (tmp_path / "agent.log").open("w") as log:
        process = router.namespace.popen(
            [PEERGATE, "agent", "--config", router.config, "--policy", router.policy],
            stderr=log,
            env={**os.environ, **supervised},
        )
    assert told.recv(100) == b"READY=1", (tmp_path / "agent.log").read_text()
    return process


def test_the_watchdog_hears_from_the_agent_until_it_ends(
    agent: "subprocess.Popen[str]", told: socket.socket
) -> None:
    assert [told.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    agent.terminate()
    while (word := told.recv(100)) != b"STOPPING=1":
        assert word == b"WATCHDOG=1"
    assert agent.wait(SECONDS) == 0


def test_an_agent_whose_work_does_not_go_on_is_silent(
    router: Router, agent: "subprocess.Popen[str]", told: socket.socket
) -> None:
    """Its event loop turns, but its work hangs: in reading a file that is a pipe."""
    assert wait_until(lambda: router.status()["age_seconds"] is not None, SECONDS)
    document = {"gateways": [gateway()], "peers": many_peers(150)}
    router.policy.write_text(yaml.safe_dump(document))
    assert wait_until(lambda: router.status()["revision"] == 2, SECONDS)
    pipe = load_settings(router.config, {}).state_dir / state.ACCEPTED_REMOVAL
    os.mkfifo(pipe)
    router.policy.write_text(yaml.safe_dump({**document, "peers": []}))
    told.settimeout(2.0)
    assert _falls_silent(told)
    assert agent.poll() is None
    with pipe.open("wb"):
        pipe.unlink()
    told.settimeout(SECONDS)
    assert told.recv(100) == b"WATCHDOG=1"


def _falls_silent(told: socket.socket) -> bool:
    """Whether there is a gap longer than the socket waits, within a hundred signs of life."""
    try:
        return not all(told.recv(100) == b"WATCHDOG=1" for _ in range(100))
    except TimeoutError:
        return True


def test_a_router_from_attached_to_detached(router: Router, agent: "subprocess.Popen[str]") -> None:
    status = router.status()
    assert (status["name"], status["agent"]) == ("edge-1", agent.pid)
    assert (status["registry"], status["revision"], status["held"]) == ("file", 1, None)
    assert status["entries"] == {"hosts": 2, "prefixes": 1}
    (uplink,) = status["interfaces"]
    assert (uplink["name"], uplink["attach"], uplink["attached"]) == ("uplink", "native", True)
    (hub,) = status["gateways"]
    assert (hub["name"], hub["mode"], hub["enforces_now"]) == ("hub", "enforce", True)
    assert hub["enforce_until"] is None
    assert wait_until(lambda: router.status()["age_seconds"] is not None, SECONDS)
    shown = router.peergate("status").stdout
    assert "edge-1" in shown
    assert "2 hosts, 1 prefixes" in shown

    refused = router.peergate("detach")
    assert refused.returncode == 1
    assert "stop it first" in refused.stderr
    assert refused.stderr.count("\n") == 1

    agent.terminate()
    assert agent.wait(SECONDS) == 0
    status = router.status()
    assert (status["agent"], status["interfaces"][0]["attached"]) == (None, True)

    detached = router.peergate("detach", "--json")
    assert detached.returncode == 0
    assert any("detached" in line for line in json.loads(detached.stdout)["done"])
    assert router.status()["interfaces"][0]["attached"] is False
    assert router.peergate("detach").returncode == 0


@pytest.mark.usefixtures("agent")
def test_explain_by_the_routers_own_maps(router: Router) -> None:
    assert wait_until(lambda: router.status()["age_seconds"] is not None, SECONDS)
    told = router.peergate("explain", "--src", "203.0.113.65", *PACKET, "--json")
    assert told.returncode == 0, told.stderr
    document = json.loads(told.stdout)
    assert (document["verdict"], document["revision"]) == ("registered", 1)
    assert (document["gateway"], document["peer"]["name"]) == ("hub", "branch-7")
    before = router.status()["gateways"][0]["counters"]
    stranger = router.peergate("explain", "--src", "192.0.2.1", *PACKET)
    assert "unregistered" in stranger.stdout
    assert "no registration at hub comes near 192.0.2.1" in stranger.stdout
    assert router.status()["gateways"][0]["counters"] == before
    later = ("--now", "2099-01-31T00:00:00Z")
    told = router.peergate("explain", "--src", "203.0.113.7", *PACKET, *later, "--json")
    assert json.loads(told.stdout)["verdict"] == "expired"


def test_explain_where_no_agent_has_been(router: Router) -> None:
    refused = router.peergate("explain", "--src", "192.0.2.1", *PACKET)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "start the agent first" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_status_where_no_agent_has_been(router: Router) -> None:
    status = router.status()
    assert (status["agent"], status["filled"], status["revision"]) == (None, False, None)
    shown = router.peergate("status")
    assert "nothing is in force here" in shown.stdout


def test_check_says_whether_the_agent_can_start(router: Router) -> None:
    checked = router.peergate("agent", "--check", "--policy", str(router.policy))
    assert checked.returncode == 0, checked.stderr
    assert "1 gateways, 2 peers" in checked.stdout
    assert "uplink: free for the program, native" in checked.stdout
    told = json.loads(
        router.peergate("agent", "--check", "--policy", str(router.policy), "--json").stdout
    )
    assert told["ok"]
    assert told["settings"]["attach"] == "native"
    assert {"level", "message"} == set(told["findings"][0])
    refused = router.peergate("agent", "--check")
    assert refused.returncode == 1
    assert "registry_url is not set" in refused.stderr


def test_check_names_every_hindrance(router: Router) -> None:
    router.config.write_text('interfaces = ["absent"]\n')
    router.policy.write_text("peers: {")
    refused = router.peergate("agent", "--check", "--policy", str(router.policy))
    assert refused.returncode == 1
    assert "absent: there is no such interface" in refused.stderr
    assert "not a YAML document" in refused.stderr
    assert "the agent cannot start" in refused.stderr


def test_settings_with_a_wrong_key_are_refused(router: Router) -> None:
    router.config.write_text('interfaces = ["uplink"]\natach = "native"\n')
    refused = router.peergate("agent", "--check", "--policy", str(router.policy))
    assert refused.returncode == 1
    assert "unknown key atach: did you mean attach?" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_what_an_agent_holds_back_is_accepted_by_command(router: Router) -> None:
    directory = load_settings(router.config, {}).state_dir
    accepted = router.peergate("agent", "--accept-removal", "42", "--json")
    assert json.loads(accepted.stdout) == {"accepted_removal": 42}
    assert state.accepted_removal(directory) == 42
    accepted = router.peergate("agent", "--accept-registry", "5889e9fe-148d-403f-9d9d-130a1e9b208e")
    assert accepted.stdout == "accepted registry: 5889e9fe-148d-403f-9d9d-130a1e9b208e\n"
    known = state.known_registry(directory)
    assert known is not None
    assert known.registry == "5889e9fe-148d-403f-9d9d-130a1e9b208e"


def test_an_interface_that_is_not_there(router: Router) -> None:
    config = router.config.read_text()
    router.config.write_text(config.replace('"uplink"', '"downlink"'))
    refused = router.peergate("agent", "--check", "--policy", str(router.policy))
    assert refused.returncode == 1
    assert "downlink: there is no such interface" in refused.stderr
