"""Real OpenVPN 2.6 over UDP: TLS with self-signed certificates, known by their fingerprints."""

import socket
import subprocess
from ipaddress import IPv4Network, ip_address
from pathlib import Path

from lab.netns import Namespace, end
from lab.vpn import TunnelClient, link_name, require
from lab.watch import wait_until

PORT = 1194
INSIDE = IPv4Network("192.0.2.208/28")
PING, RESTART = 1, 4  # seconds between keepalives, and until a silent client starts anew


class OpenVpnEnd:
    """One openvpn process with its certificate; asked for its state on a UNIX socket."""

    def __init__(self, namespace: Namespace, workdir: Path) -> None:
        self.namespace = namespace
        self.name = link_name("ovpn")
        base = workdir / self.name
        self._key, self._certificate = base.with_suffix(".key"), base.with_suffix(".crt")
        self._management, self.log = base.with_suffix(".sock"), base.with_suffix(".log")
        self._process: subprocess.Popen[str] | None = None
        self.fingerprint = self._make_certificate()

    def _make_certificate(self) -> str:
        self.namespace.run(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                "-subj", f"/CN={self.name}", "-keyout", self._key, "-out", self._certificate,
            ],
            check=True,
        )  # fmt: skip
        shown = self.namespace.run(
            ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", self._certificate],
            check=True,
        )
        return shown.stdout.strip().partition("=")[2]

    def start(self, *options: str) -> None:
        self._process = self.namespace.popen(
            [
                "openvpn", "--dev", self.name, "--dev-type", "tun", "--disable-dco",
                "--cert", self._certificate, "--key", self._key,
                "--data-ciphers", "AES-256-GCM", "--script-security", "1",
                "--management", self._management, "unix", "--log", self.log, "--verb", "3",
                *options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def state(self) -> str:
        """OpenVPN's word for it, CONNECTED among them; empty where nobody answers."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as management:
            management.settimeout(2)
            try:
                management.connect(str(self._management))
                management.sendall(b"state\n")
                answer = b""
                while b"\nEND" not in answer:
                    part = management.recv(4096)
                    if not part:
                        break
                    answer += part
            except OSError:
                return ""
        # time,STATE,detail,... on the line before END
        for line in reversed(answer.decode().splitlines()):
            fields = line.split(",")
            if len(fields) > 2 and fields[0].isdigit():
                return fields[1]
        return ""

    def stop(self) -> None:
        if self._process is not None:
            end(self._process)
            self._process = None
        self._management.unlink(missing_ok=True)


class OpenVpnGateway:
    """The gateway's end, for the clients that were made before it was started."""

    def __init__(self, namespace: Namespace, workdir: Path) -> None:
        self._workdir = workdir
        self.end = OpenVpnEnd(namespace, workdir)
        self.inside = str(INSIDE.network_address + 1)
        self._fingerprints: list[str] = []

    def client(self, namespace: Namespace, endpoint: str) -> "OpenVpnClient":
        """A client whose certificate the gateway takes; `endpoint` is the gateway's address."""
        client = OpenVpnClient(namespace, self, endpoint, self._workdir)
        self._fingerprints.append(client.end.fingerprint)
        return client

    def start(self) -> None:
        accepted = [part for one in self._fingerprints for part in ("--peer-fingerprint", one)]
        self.end.start(
            "--server", str(INSIDE.network_address), str(INSIDE.netmask),
            "--topology", "subnet", "--proto", "udp6", "--port", str(PORT), "--dh", "none",
            "--keepalive", str(PING), str(RESTART), *accepted,
        )  # fmt: skip
        ready = wait_until(lambda: self.end.state() == "CONNECTED", 10)
        require(ready, "the OpenVPN server", self.end.log)

    def stop(self) -> None:
        self.end.stop()


class OpenVpnClient(TunnelClient):
    title = "OpenVPN"
    port = PORT

    def __init__(
        self, namespace: Namespace, gateway: OpenVpnGateway, endpoint: str, workdir: Path
    ) -> None:
        super().__init__(namespace, endpoint, gateway.inside)
        self.end = OpenVpnEnd(namespace, workdir)
        self._gateway_fingerprint = gateway.end.fingerprint

    def start(self) -> None:
        transport = "udp6" if ip_address(self.endpoint).version == 6 else "udp4"
        self.end.start(
            "--client", "--nobind", "--proto", transport, "--remote", self.endpoint, str(PORT),
            "--peer-fingerprint", self._gateway_fingerprint,
            "--connect-retry", "1", "1", "--connect-timeout", "3",
        )  # fmt: skip

    def is_up(self) -> bool:
        return self.end.state() == "CONNECTED"

    def stop(self) -> None:
        self.end.stop()
