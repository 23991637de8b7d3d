"""Real WireGuard: the kernel's where it has it, else wireguard-go in user space."""

import subprocess
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

from pyroute2 import NetlinkError

from lab.netns import LabError, Namespace, end
from lab.vpn import TunnelClient, link_name, require
from lab.watch import wait_until

PORT = 51820
INSIDE = IPv4Network("192.0.2.192/28")
SOCKETS = Path("/var/run/wireguard")  # fixed in wg and wireguard-go


class WireGuardLink:
    """One WireGuard interface with its key pair."""

    def __init__(self, namespace: Namespace, workdir: Path) -> None:
        self.namespace = namespace
        self.name = link_name("wg")
        self.in_kernel = False
        self._log = workdir / f"{self.name}.log"
        self._key = workdir / f"{self.name}.key"
        self._process: subprocess.Popen[str] | None = None
        private = namespace.run(["wg", "genkey"], check=True).stdout
        self._key.touch(mode=0o600)
        self._key.write_text(private)
        self.public_key = namespace.run(["wg", "pubkey"], text=private, check=True).stdout.strip()

    def start(self, address: str, port: int | None = None) -> None:
        """Make the interface, up, with `address` inside the tunnel."""
        try:
            with self.namespace.netlink() as netlink:
                netlink.link("add", ifname=self.name, kind="wireguard")
            self.in_kernel = True
        except NetlinkError:
            self._start_in_user_space()
        listen = [] if port is None else ["listen-port", str(port)]
        self.set("private-key", str(self._key), *listen)
        self.namespace.add_address(self.name, address)
        self.namespace.up(self.name)

    def _start_in_user_space(self) -> None:
        with self._log.open("w") as log:
            self._process = self.namespace.popen(
                ["wireguard-go", "-f", self.name], stdout=log, stderr=subprocess.STDOUT
            )
        socket = SOCKETS / f"{self.name}.sock"
        require(wait_until(socket.exists, 10), "wireguard-go", self._log)

    def set(self, *arguments: str) -> None:
        done = self.namespace.run(["wg", "set", self.name, *arguments])
        if done.returncode:
            raise LabError(f"wg set {self.name} {' '.join(arguments)}: {done.stderr.strip()}")

    def handshakes(self) -> dict[str, int]:
        """Seconds since 1970 of the latest handshake with each public key; 0 for never."""
        done = self.namespace.run(["wg", "show", self.name, "latest-handshakes"])
        pairs = (line.split() for line in done.stdout.splitlines())
        return {key: int(when) for key, when in pairs}

    def stop(self) -> None:
        if self._process is not None:
            end(self._process)
            self._process = None
            (SOCKETS / f"{self.name}.sock").unlink(missing_ok=True)
        elif self.in_kernel:
            with suppress(LabError):
                self.namespace.delete(self.name)
            self.in_kernel = False


class WireGuardGateway:
    """The gateway's end, for any number of clients."""

    def __init__(self, namespace: Namespace, workdir: Path) -> None:
        self._workdir = workdir
        self._addresses = INSIDE.hosts()
        self.inside = str(next(self._addresses))
        self.link = WireGuardLink(namespace, workdir)

    def start(self) -> None:
        self.link.start(f"{self.inside}/{INSIDE.prefixlen}", PORT)

    def client(self, namespace: Namespace, endpoint: str) -> "WireGuardClient":
        """A client whose key the started gateway takes; `endpoint` is the gateway's address."""
        inside = str(next(self._addresses))
        client = WireGuardClient(namespace, self, inside, endpoint, self._workdir)
        self.link.set("peer", client.link.public_key, "allowed-ips", f"{inside}/32")
        return client

    def stop(self) -> None:
        self.link.stop()


class WireGuardClient(TunnelClient):
    title = "WireGuard"
    port = PORT

    def __init__(
        self,
        namespace: Namespace,
        gateway: WireGuardGateway,
        address: str,
        endpoint: str,
        workdir: Path,
    ) -> None:
        super().__init__(namespace, endpoint, gateway.inside)
        self.link = WireGuardLink(namespace, workdir)
        self._address = f"{address}/{INSIDE.prefixlen}"
        self._gateway_key = gateway.link.public_key

    def start(self) -> None:
        self.link.start(self._address)
        host = f"[{self.endpoint}]" if ":" in self.endpoint else self.endpoint
        self.link.set(
            "peer", self._gateway_key, "endpoint", f"{host}:{PORT}",
            "allowed-ips", str(INSIDE), "persistent-keepalive", "1",
        )  # fmt: skip

    def is_up(self) -> bool:
        """It has shaken hands since it was started."""
        return self.link.handshakes().get(self._gateway_key, 0) > 0

    def stop(self) -> None:
        self.link.stop()
