"""What the demo's steps work with: the network, the tunnels, the processes, and what was seen."""

import socket
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.netns import LabError, Namespace
from lab.openvpn import OpenVpnClient, OpenVpnGateway
from lab.production import Agent, Peergate, RegistryService
from lab.topology import GATEWAY, GATEWAY_V6, STRANGER, Topology
from lab.transcript import Transcript
from lab.vpn import TunnelClient
from lab.watch import Watch
from lab.wireguard import PORT as WIREGUARD
from lab.wireguard import WireGuardClient, WireGuardGateway

UDP = socket.IPPROTO_UDP
HUB = "hub"


class Scene:
    """Branch and stranger each have a WireGuard client over IPv4 and an OpenVPN one over IPv6.

    The gateway takes the keys of all four: it is the gate alone that tells them apart.
    """

    def __init__(self, transcript: Transcript, workdir: Path, label: str) -> None:
        self.transcript = transcript
        with ExitStack() as stack:
            self.net = net = stack.enter_context(Topology(label))
            # Outside: what a host sent towards the router. Inside: what came through.
            self._outside = {
                net.branch: stack.enter_context(Watch(net.internet, "branch")),
                net.stranger: stack.enter_context(Watch(net.internet, "stranger")),
            }
            self._inside = stack.enter_context(Watch(net.gateway, "eth0"))
            self.beside = stack.enter_context(Watch(net.bystander, "eth0"))

            self.wireguard = WireGuardGateway(net.gateway, workdir)
            stack.callback(self.wireguard.stop)
            self.wireguard.start()
            self.openvpn = OpenVpnGateway(net.gateway, workdir)
            stack.callback(self.openvpn.stop)
            self.branch = self._clients(net.branch)
            self.stranger = self._clients(net.stranger)
            self.openvpn.start()
            for client in (*self.branch, *self.stranger):
                stack.callback(client.stop)

            self.operator = Peergate(transcript, net.registry, workdir)
            self.router = Peergate(transcript, net.router, workdir)
            self.registry = RegistryService(net.registry, self.operator, workdir)
            stack.callback(self.registry.stop)
            self.agent = Agent(net.router, self.router, workdir)
            stack.callback(self.agent.close)
            self._stack = stack.pop_all()

    def _clients(self, namespace: Namespace) -> tuple[WireGuardClient, OpenVpnClient]:
        return (
            self.wireguard.client(namespace, GATEWAY),
            self.openvpn.client(namespace, GATEWAY_V6),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def sent(self, *clients: TunnelClient, since: float = 0.0) -> int:
        """Packets that these clients' hosts sent to their services, seen before the router."""
        return sum(
            self._outside[client.namespace].count(
                client.source, UDP, client.port, to=client.endpoint, since=since
            )
            for client in clients
        )

    def arrivals(self, *clients: TunnelClient, since: float = 0.0) -> list[float]:
        """When such packets came in at the gateway's own link."""
        return [
            when
            for client in clients
            for when in self._inside.times(client.source, UDP, client.port, since=since)
        ]

    def ask(self) -> tuple[str, ...]:
        """The command line that asks the router what becomes of a stranger's handshake."""
        return (
            "explain", "--src", STRANGER, "--dst", GATEWAY, "--proto", "udp",
            "--dport", str(WIREGUARD), "--config", str(self.agent.config),
        )  # fmt: skip

    def enforced(self) -> bool:
        """Whether the program on the router would drop a stranger's packet."""
        return bool(self.router.json(*self.ask())["action"] == "drop")

    def counters(self) -> dict[str, int]:
        """Packets that the router's maps have counted at the gateway, by verdict and action."""
        status = self.router.json("status", "--config", str(self.agent.config))
        for gateway in status["router"]["gateways"]:
            if gateway["name"] == HUB:
                return {name: count["packets"] for name, count in gateway["counters"].items()}
        raise LabError(f"peergate status names no gateway {HUB}")
