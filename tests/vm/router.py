"""An edge router in a virtual machine: a kernel of its own, a network card with queues, and the
real agent following a policy file. Its uplink and its lan are taps in namespaces of this machine.
"""

import json
import os
import re
import shlex
import socket
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import yaml

from lab.topology import BRANCH, GATEWAY, STRANGER
from lab.watch import Watch, wait_until
from tests.control.edge import BRANCH_PEER, PORT, gateway, udp
from tests.vm.command import CommandMachine
from tests.vm.kernels import Kernel
from tests.vm.machine import Hardware, MachineError
from tests.vm.qmp import Monitor
from tests.vm.router_agent import SECONDS, Agent
from tests.vm.router_net import (
    GUARDED,
    HOSTS,
    INSIDE,
    INSIDE_V6,
    INTERNET,
    INTERNET_V6,
    LAN,
    LAN_V6,
    UPLINK,
    UPLINK_V6,
    around,
    default_route,
)  # fmt: skip

QUEUES = 4  # pairs: with native XDP virtio_net wants one more for each CPU
BPFFS = "/run/peergate/bpf"


class Router:
    """The machine and the network around it, all of it gone when the context ends.

    `uplink` is the card's model with options for QEMU; the hosts `in_guest` are network
    namespaces of the machine in place of ours, each with a card of its own.
    """

    def __init__(
        self,
        kernel: Kernel,
        label: str,
        *,
        uplink: str = "virtio-net-pci",
        queues: int = QUEUES,
        in_guest: tuple[str, ...] = (),
    ) -> None:
        self._agents = 0
        self._links: dict[str, str] = {}  # by MAC address
        with ExitStack() as stack:
            self.net = stack.enter_context(around(f"{label}-{os.getpid()}", queues, in_guest))
            stack.callback(self._close_taps)
            self.monitor = Monitor()
            stack.callback(self.monitor.close)
            ours, theirs = socket.socketpair()
            stack.callback(ours.close)
            stack.callback(theirs.close)
            ours.settimeout(SECONDS)
            self._socket, self._lines = ours, stack.enter_context(ours.makefile("r"))
            hardware = Hardware(
                kernel,
                cpus=2,
                devices=[
                    *self.monitor.words,
                    *("-chardev", f"socket,id=control,fd={theirs.fileno()}"),
                    *("-device", "virtserialport,chardev=control,name=control"),
                    *self._cards(uplink),
                ],
                fds=[
                    self.monitor.theirs.fileno(),
                    theirs.fileno(),
                    *(fd for fds in self.net.fds.values() for fd in fds),
                ],
            )
            command = f"exec {shlex.quote(sys.executable)} -m tests.vm.guest.router_serve"
            modules = ["virtio_net", "e1000e"] if "e1000e" in uplink else ["virtio_net"]
            self.machine = stack.enter_context(CommandMachine(hardware, command, modules=modules))
            theirs.close()
            self._close_taps()
            self.monitor.begin()
            self._answer()
            self.configure_links()
            for name in in_guest:
                self._configure_host(name)
            self._stack = stack.pop_all()

    def _cards(self, uplink: str) -> list[str]:
        words = []
        for number, (name, fds) in enumerate(self.net.fds.items()):
            mac = f"52:54:00:00:00:{number:02x}"
            self._links[mac] = name
            taps = ":".join(map(str, fds))
            words += ["-netdev", f"tap,id={name}-tap,vhost=off,fd{'s' * (len(fds) > 1)}={taps}"]
            # Behind a root port it can be pulled out and put back.
            words += ["-device", f"pcie-root-port,id={name}-port,chassis={number},slot={number}"]
            model = uplink if name == "uplink" else "virtio-net-pci"
            many = f",mq=on,vectors={2 * len(fds) + 2}" if len(fds) > 1 else ""
            words += [
                "-device",
                f"{model},id={name},bus={name}-port,netdev={name}-tap,mac={mac},romfile={many}",
            ]
        return words

    def _close_taps(self) -> None:
        for fds in self.net.fds.values():
            while fds:
                os.close(fds.pop())

    # The machine

    def do(self, what: str, **arguments: object) -> dict[str, Any]:
        """An order to tests/vm/guest/router_serve.py. Raises MachineError."""
        try:
            self._socket.sendall(json.dumps({"do": what, **arguments}).encode() + b"\n")
        except BrokenPipeError:
            raise self._silence() from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except TimeoutError:
            line = ""
        if not line:
            raise self._silence()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise MachineError(f"in the machine: {answer['error']}")
        return answer

    def _silence(self) -> MachineError:
        status = self.machine.process.poll()
        state = "runs" if status is None else f"ended with status {status}"
        words = f"{self.machine.output[-2000:]}\n{self.machine.last_words()}"
        return MachineError(f"no answer from the machine; QEMU {state}\n{words}")

    def run(self, command: str, *, check: bool = True, seconds: float = SECONDS / 2) -> str:
        """What a shell command in the machine says. Raises MachineError where it fails."""
        done = self.do("run", command=command, seconds=seconds)
        if check and done["status"]:
            raise MachineError(f"{command}: exit {done['status']}: {done['output'].strip()}")
        return str(done["output"])

    # Links

    def configure_links(self, *, named: bool = False) -> None:
        """What udev (unless they are named) and the network's configuration do on a router."""
        if not named:
            self.do("name_links", names=self._links)
        script = ["set -e", "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"]
        for link, addresses in (
            ("uplink", (f"{UPLINK}/30", f"{UPLINK_V6}/64 nodad")),
            ("lan", (f"{LAN}/30", f"{LAN_V6}/64 nodad")),
        ):
            script += [f"ip addr replace {address} dev {link}" for address in addresses]
            script.append(f"ip link set {link} up")
        for via in (INTERNET, INTERNET_V6):
            script.append(f"ip route replace {default_route(via)} via {via}")
        for prefix in GUARDED:
            via = INSIDE_V6 if ":" in prefix else INSIDE
            script.append(f"ip route replace {prefix} via {via}")
        self.run("\n".join(script))

    def _configure_host(self, name: str) -> None:
        inside = f"ip -n {name}"
        script = [
            "set -e",
            f"ip netns add {name}",
            f"ip link set {name} netns {name} name eth0",
            f"{inside} link set lo up",
            f"{inside} link set eth0 up",
        ]
        for address, via in HOSTS[name].pairs:
            script.append(f"{inside} addr add {address} dev eth0 {'nodad' * (':' in address)}")
            script.append(f"{inside} route add {default_route(via)} via {via}")
        self.run("\n".join(script))

    # The agent

    def write_policy(
        self,
        peers: Iterable[Mapping[str, object]] = (BRANCH_PEER,),
        gateways: Iterable[Mapping[str, object]] | None = None,
    ) -> None:
        """Replace the policy file in one step."""
        wanted = [gateway()] if gateways is None else list(gateways)
        fresh = self.machine.shared / "policy.new"
        fresh.write_text(yaml.safe_dump({"gateways": wanted, "peers": list(peers)}))
        fresh.rename(self.machine.shared / "policy.yaml")

    def start_agent(self, *, waits: bool = True, **settings: object) -> Agent:
        """The real agent; `waits` until the program is attached."""
        values = {
            "router": "edge-1",
            "interfaces": ["uplink"],
            "state_dir": "/run/peergate/state",
            "bpffs": BPFFS,
            "max_hosts": 2048,
            "max_prefixes": 1024,
            "max_gateways": 16,
            "verify_every": 3600,  # what it does, it does because the kernel told it
            **settings,
        }
        lines = (f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        (self.machine.shared / "agent.toml").write_text("".join(lines))
        self._agents += 1
        agent = Agent(self.do, self.machine.shared, self._agents)
        if waits:
            agent.wait_for("program [0-9]+ attached")
        return agent

    def counters(self) -> dict[str, int]:
        """Packets by counter: those of gateway hub, and those where no gateway is known."""
        return {name: packets for name, (packets, _) in self.counted().items()}

    def bytes_counted(self) -> dict[str, int]:
        return {name: size for name, (_, size) in self.counted().items()}

    def counted(self) -> dict[str, tuple[int, int]]:
        """Packets and bytes by counter, read at once."""
        found = self.do("counters", bpffs=BPFFS)
        rows = zip(found["0"].items(), found["1"].values(), strict=True)
        return {name: (one[0] + other[0], one[1] + other[1]) for (name, one), other in rows}

    def attached(self) -> list[str]:
        """How programs sit on the uplink, in the words of `ip link`: xdp (native), xdpgeneric."""
        return re.findall(r" mtu \d+ (xdp\w*)", self.run("ip -o link show uplink"))

    def decides(self, payload: bytes = b"tunnel") -> bool:
        """Whether the branch's packets come to pass; False where any of the stranger's does."""
        with (
            Watch(self.net.hosts["gateway"], "eth0") as gate,
            udp(self.net.hosts["branch"]) as branch,
            udp(self.net.hosts["stranger"]) as stranger,
        ):

            def passes() -> bool:
                stranger.sendto(payload, (GATEWAY, PORT))
                branch.sendto(payload, (GATEWAY, PORT))
                return gate.count(BRANCH, port=PORT) >= 5

            return wait_until(passes, SECONDS, 0.1) and gate.count(STRANGER, port=PORT) == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()
