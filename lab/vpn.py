"""What the tunnels of the lab have in common."""

import secrets
import socket
from abc import ABC, abstractmethod
from ipaddress import ip_address
from pathlib import Path

from lab.netns import LabError, Namespace
from lab.ping import Ping, ping
from lab.watch import wait_until


def link_name(prefix: str) -> str:
    """A link's name for this run alone: user-space WireGuard has one directory of sockets."""
    return f"{prefix}-{secrets.token_hex(4)}"


class TunnelClient(ABC):
    """The client's end of one tunnel: a real VPN client in a namespace."""

    title: str
    port: int  # UDP, at the gateway

    def __init__(self, namespace: Namespace, endpoint: str, inside: str) -> None:
        """`endpoint` and `inside` are the gateway's addresses, outside and in the tunnel."""
        self.namespace = namespace
        self.endpoint = endpoint
        self.inside = inside
        family = socket.AF_INET6 if ip_address(endpoint).version == 6 else socket.AF_INET
        with namespace.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((endpoint, self.port))
            self.source = str(probe.getsockname()[0])

    @property
    def host(self) -> str:
        """Who runs it, by the last part of the namespace's name."""
        return self.namespace.name.rpartition("-")[2]

    @abstractmethod
    def start(self) -> None:
        """Start the client; it goes on trying until it is stopped."""

    @abstractmethod
    def stop(self) -> None:
        """End the client, its link and its files of state."""

    @abstractmethod
    def is_up(self) -> bool:
        """What the client itself says: it has shaken hands."""

    def ping(self, count: int = 3, wait: float = 1.0) -> Ping:
        """Echo requests through the tunnel."""
        return ping(self.namespace, self.inside, count, wait)

    def wait_up(self, seconds: float) -> bool:
        """Wait until the client says so and an echo through the tunnel comes back."""
        return wait_until(lambda: self.is_up() and self.ping(1).all_back, seconds, 0.1)


def log_tail(path: Path, lines: int = 5) -> str:
    """The end of a log, for an error's message."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def require(ready: bool, what: str, log: Path) -> None:
    """Raise with the end of `log` unless `ready`."""
    if not ready:
        raise LabError(f"{what} did not start; its log ends in:\n{log_tail(log)}")
