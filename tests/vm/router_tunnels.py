"""Real tunnels between namespaces of the virtual router's machine, with the kernel's own crypto."""

import signal
from dataclasses import dataclass, field

from lab.topology import BRANCH, GATEWAY, STRANGER
from lab.watch import wait_until
from tests.vm.router import Router
from tests.vm.router_agent import SECONDS, SHARED

INSIDE = "192.0.2.193"
PEERS = {"branch": (BRANCH, "192.0.2.194"), "stranger": (STRANGER, "192.0.2.195")}
WIREGUARD_PORT = 51820


def echoes(router: Router, name: str, count: int = 3, wait: int = 5) -> bool:
    """Whether all echo requests through a host's tunnel come back."""
    said = router.run(
        f"ip netns exec {name} ping -n -q -c{count} -i0.2 -W{wait} -I {PEERS[name][1]} {INSIDE}",
        check=False,
    )
    return f" {count} received" in said


@dataclass(frozen=True, slots=True)
class WireGuard:
    """wg0 in each namespace; the gateway takes the keys of branch and stranger."""

    router: Router

    def start(self) -> None:
        run, keys = self.router.run, dict[str, str]()
        run("modprobe wireguard; mkdir -p /run/wg")
        for name in ("gateway", *PEERS):
            run(f"umask 077; wg genkey >/run/wg/{name}; ip -n {name} link add wg0 type wireguard")
            keys[name] = run(f"wg pubkey </run/wg/{name}").strip()
            self._set(name, f"private-key /run/wg/{name}")
        self._set("gateway", f"listen-port {WIREGUARD_PORT}")
        self._up("gateway", INSIDE)
        for name, (_, inside) in PEERS.items():
            self._set("gateway", f"peer {keys[name]} allowed-ips {inside}/32")
            self._up(name, inside)
            self._set(
                name,
                f"peer {keys['gateway']} endpoint {GATEWAY}:{WIREGUARD_PORT} "
                f"allowed-ips {INSIDE}/32 persistent-keepalive 1",
            )

    def _set(self, name: str, words: str) -> None:
        self.router.run(f"ip netns exec {name} wg set wg0 {words}")

    def _up(self, name: str, inside: str) -> None:
        self.router.run(f"ip -n {name} addr add {inside}/28 dev wg0; ip -n {name} link set wg0 up")

    def has_met(self, name: str) -> bool:
        """It has shaken hands with the gateway."""
        said = self.router.run(f"ip netns exec {name} wg show wg0 latest-handshakes")
        return said.split()[-1] != "0"

    def stop(self) -> None:
        for name in ("gateway", *PEERS):
            self.router.run(f"ip -n {name} link del wg0")


_STRONGSWAN = """
charon-systemd {{
  load = random drbg nonce gmp hmac kdf sha1 sha2 aes kernel-netlink socket-default vici
  plugins {{ vici {{ socket = unix:///run/charon-{name} }} }}
  journal {{ default = -1 }}
  filelog {{ stderr {{ default = 1 }} }}
  retransmit_timeout = 1.0
  retransmit_base = 1.0
  retransmit_tries = 4
}}
"""
_CONNECTION = """
{peer} {{
  version = 2
  local_addrs = {local}
  remote_addrs = {remote}
  encap = no
  mobike = no
  proposals = aes128-sha256-modp2048
  local {{ auth = psk
    id = {name} }}
  remote {{ auth = psk
    id = {peer} }}
  children {{ {peer} {{
    local_ts = {local_ts}/32
    remote_ts = {remote_ts}/32
    esp_proposals = aes128-sha256
  }} }}
}}
"""
_SECRET = 'secrets { ike-1 { secret = "a key that all ends have" } }\n'


@dataclass(frozen=True, slots=True)
class StrongSwan:
    """A charon in each namespace, ESP (protocol 50) in the kernel; all have the right key."""

    router: Router
    _pids: list[int] = field(default_factory=list)

    def start(self) -> None:
        to_peers = [
            _CONNECTION.format(
                name="gateway", peer=name, local=GATEWAY, remote=outside,
                local_ts=INSIDE, remote_ts=inside,
            )
            for name, (outside, inside) in PEERS.items()
        ]  # fmt: skip
        self._start("gateway", INSIDE, to_peers)
        for name, (outside, inside) in PEERS.items():
            to_gateway = _CONNECTION.format(
                name=name, peer="gateway", local=outside, remote=GATEWAY,
                local_ts=inside, remote_ts=INSIDE,
            )  # fmt: skip
            self._start(name, inside, [to_gateway])

    def _start(self, name: str, inside: str, connections: list[str]) -> None:
        files = self.router.machine.shared
        (files / f"strongswan-{name}.conf").write_text(_STRONGSWAN.format(name=name))
        (files / f"swanctl-{name}.conf").write_text(
            f"connections {{ {''.join(connections)} }}\n{_SECRET}"
        )
        self.router.run(f"ip -n {name} addr add {inside}/32 dev lo")
        command = (
            f"env STRONGSWAN_CONF={SHARED}/strongswan-{name}.conf "
            f"ip netns exec {name} charon-systemd"
        )
        log = str(SHARED / f"charon-{name}.log")
        self._pids.append(self.router.do("start", command=command, log=log)["pid"])
        load = f"--load-all --file {SHARED}/swanctl-{name}.conf"
        ready = wait_until(lambda: "loaded connection" in self.swanctl(name, load), SECONDS, 0.5)
        assert ready, self.log(name)

    def swanctl(self, name: str, words: str) -> str:
        return self.router.run(f"swanctl {words} --uri unix:///run/charon-{name}", check=False)

    def initiate(self, name: str, seconds: int) -> bool:
        said = self.swanctl(name, f"--initiate --child gateway --timeout {seconds}")
        return "initiate completed successfully" in said

    def log(self, name: str) -> str:
        return (self.router.machine.shared / f"charon-{name}.log").read_text()

    def stop(self) -> None:
        while self._pids:
            self.router.do("end", pid=self._pids.pop(), signal=signal.SIGTERM, seconds=20)
