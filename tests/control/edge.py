"""An edge router with an agent, in namespaces: what the tests of the agent stand on."""

import ctypes
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from control import links
from control.dataplane import DataPlane
from control.model import Count
from control.settings import Settings, load_settings
from control.sizes import Sizes
from control.status import Status, status
from lab.netns import Namespace
from lab.topology import BRANCH, BRANCH_V6, GATEWAY, GATEWAY_V6, STRANGER, UPLINK, Topology
from lab.watch import Watch, wait_until

ROOT = Path(__file__).parents[2]
MNT_DETACH = 2
PORT = 51820
SIZES = Sizes.room_for(2048, 1024, 16)
# How long anything may take; virtual machines without KVM are slow.
SECONDS = float(os.environ.get("PEERGATE_TEST_SECONDS", "30"))


def gateway(mode: str = "enforce", **more: object) -> dict[str, object]:
    return {
        "name": "hub",
        "addresses": [GATEWAY, GATEWAY_V6],
        "services": ["wireguard"],
        "mode": mode,
        **more,
    }


def peer(name: str, *sources: str, **more: object) -> dict[str, object]:
    return {
        "name": name,
        "gateway": "hub",
        "owner": "Branch networks",
        "contact": "netops@example.net",
        "purpose": "a tunnel",
        "sources": list(sources),
        **more,
    }


BRANCH_PEER = peer("branch", BRANCH, BRANCH_V6)


def many_peers(count: int) -> list[dict[str, object]]:
    return [peer(f"other-{n}", f"2001:db8:100:{n:x}::/64") for n in range(count)]


class AgentProcess:
    """One run of the agent; its log lines go to a file of its own."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def said(self, pattern: str) -> bool:
        return re.search(pattern, self.log) is not None

    def wait_for(self, pattern: str) -> None:
        """Until a log line matches. Fails with the log when none does in time, or it has ended."""
        found = wait_until(lambda: self.said(pattern) or self.process.poll() is not None, SECONDS)
        assert self.said(pattern), f"no line matches {pattern!r} (in time: {found}):\n{self.log}"

    def end(self) -> int:
        """SIGTERM; the exit status, which must come promptly."""
        self.process.terminate()
        return self.process.wait(SECONDS / 6)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS / 6)

    def exit_status(self) -> int:
        return self.process.wait(SECONDS)


class Edge:
    """The lab's topology, a directory for the agent's files, and the agents started there."""

    def __init__(self, directory: Path, net: Topology) -> None:
        self.net = net
        self.directory = directory
        self.policy_file = directory / "policy.yaml"
        self.state_dir = directory / "state"
        self.bpffs = directory / "bpf"
        # What agents are started by and with.
        self.prefix: tuple[str, ...] = ()
        self.python = sys.executable
        self._runs = 0
        self.configure()

    def configure(self, **changes: object) -> None:
        """Write the settings file, with changes over the tests' own defaults."""
        values = {
            "router": "edge-1",
            "interfaces": [UPLINK],
            "state_dir": str(self.state_dir),
            "bpffs": str(self.bpffs),
            "max_hosts": 2048,
            "max_prefixes": 1024,
            "max_gateways": 16,
            "verify_every": 0.5,
            "report_every": 0.5,
            **changes,
        }
        lines = (f"{key} = {value!r}\n" for key, value in values.items())
        (self.directory / "agent.toml").write_text("".join(lines).replace("'", '"'))

    @property
    def settings(self) -> Settings:
        return load_settings(self.directory / "agent.toml", {})

    def write_policy(
        self,
        peers: Iterable[Mapping[str, object]] = (BRANCH_PEER,),
        gateways: Iterable[Mapping[str, object]] | None = None,
    ) -> None:
        """Replace the policy file in one step, as a careful operator does."""
        wanted = [gateway()] if gateways is None else list(gateways)
        fresh = self.policy_file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump({"gateways": wanted, "peers": list(peers)}))
        fresh.rename(self.policy_file)

    def start(self, *, on_policy: bool = True, waits: bool = True) -> AgentProcess:
        """Start an agent; `waits` until the program is attached."""
        self._runs += 1
        log = self.directory / f"agent-{self._runs}.log"
        argv: list[str | Path] = [
            *self.prefix,
            self.python,
            "-m",
            "tests.control.launch",
            self.directory / "agent.toml",
        ]
        with log.open("w") as out:
            process = self.net.router.popen(
                [*argv, self.policy_file] if on_policy else argv,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, "PYTHONWARNINGS": "error"},
            )
        agent = AgentProcess(process, log)
        if waits:
            agent.wait_for("program [0-9]+ attached")
        return agent

    def attachment(self, interface: str = UPLINK) -> links.Attachment:
        with self.net.router.entered():
            return links.attachment(interface)

    def program(self, interface: str = UPLINK) -> int | None:
        """The id of what is attached in native mode."""
        return self.attachment(interface).program("native")

    def status(self) -> Status:
        with self.net.router.entered():
            return status(self.settings)

    def counter(self, name: str) -> Count:
        """A counter of gateway hub."""
        (hub,) = (g for g in self.status().gateways if g.name == "hub")
        return hub.counters[name]

    def maps(self) -> DataPlane:
        """A second handle on the pinned maps."""
        return DataPlane.current(self.bpffs)

    def is_open(self, host: Namespace, source: str) -> bool:
        """Whether tunnel packets of a host reach the gateway; sent until one of each does.

        A packet to a port that is no service goes along, as proof that the way itself is open.
        """
        with Watch(self.net.gateway, "eth0") as watch, udp(host) as out:

            def arrived() -> bool:
                out.sendto(b"tunnel", (GATEWAY, PORT))
                out.sendto(b"other", (GATEWAY, PORT + 1))
                return watch.count(source, port=PORT + 1) >= 3

            assert wait_until(arrived, SECONDS), f"nothing at all comes through from {source}"
            return watch.count(source, port=PORT) > 0

    def lets_in(self, branch: bool, stranger: bool = False) -> bool:
        """Whether the gate comes to let in those two, and nobody else."""
        return wait_until(
            lambda: (
                self.is_open(self.net.branch, BRANCH) is branch
                and self.is_open(self.net.stranger, STRANGER) is stranger
            ),
            SECONDS,
        )

    def close(self) -> None:
        ctypes.CDLL(None).umount2(os.fsencode(self.bpffs), MNT_DETACH)


def udp(host: Namespace) -> socket.socket:
    return host.socket(socket.AF_INET, socket.SOCK_DGRAM)


class Flood:
    """Tunnel packets of one host at some thousand a second, until it is stopped."""

    PACE = 0.0005
    MOST = 40_000

    def __init__(self, host: Namespace) -> None:
        self._socket = udp(host)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = 0

    def _run(self) -> None:
        while self.sent < self.MOST and not self._stop.wait(self.PACE):
            self._socket.sendto(b"tunnel", (GATEWAY, PORT))
            self.sent += 1

    def __enter__(self) -> "Flood":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:  # noqa: ANN401
        self._stop.set()
        self._thread.join()
        self._socket.close()
