"""The doctor on the lowest kernel, with the tunnels and cards that a machine of ours has not."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from tests.vm.command import run
from tests.vm.kernels import kernel
from tests.vm.machine import Hardware

pytestmark = pytest.mark.timeout(600)

CARDS = ("-netdev", "hubport,id=net0,hubid=0", "-device", "virtio-net-pci,netdev=net0")

SET_UP = """set -e
for module in virtio_net 8021q ip_gre ipip sit wireguard geneve macsec mpls_router esp4; do
    modprobe $module
done
ip link set eth0 up mtu 9000
ip addr add 192.0.2.2/30 dev eth0
ip route add default via 192.0.2.1
ip link add eth0.7 link eth0 type vlan id 7
ip link add eth0.7.8 link eth0.7 type vlan id 8
ip link add eth0.7.8.9 link eth0.7.8 type vlan id 9
ip link add gre7 type gre local 192.0.2.2 remote 192.0.2.1
ip link add ipip7 type ipip local 192.0.2.2 remote 192.0.2.1
ip link add sit7 type sit local 192.0.2.2 remote 192.0.2.1
ip link add geneve7 type geneve id 7 remote 192.0.2.1
ip link add wg7 type wireguard
ip link add macsec7 link eth0 type macsec
for tunnel in eth0.7 gre7 ipip7 sit7 geneve7 wg7 macsec7; do ip link set $tunnel up; done
ip route add default dev eth0.7 table 100
sysctl -qw net.mpls.platform_labels=100 net.mpls.conf.eth0.input=1
ip xfrm state add src 192.0.2.2 dst 192.0.2.1 proto esp spi 7 mode tunnel \\
    enc 'ecb(cipher_null)' ''
sysctl -qw net.core.bpf_jit_harden=2 kernel.unprivileged_bpf_disabled=0
cat >/tmp/agent.toml <<END
router = "edge-1"
interfaces = ["eth0"]
registry_url = "http://192.0.2.1:9"
END
"""

# Subject -> words of what is found there at that level.
FOUND = {
    "note": {
        "kernel": "without a coarse clock",
        "gre0": "its device is down",
        "tunl0": "its device is down",
    },
    "warning": {
        "bpf_jit_harden": "2: constants are blinded",
        "unprivileged_bpf_disabled": "0: every user",
        "eth0": "MTU 9000, and this kernel gives XDP one buffer a frame",
        "eth0.7.8.9": "3 VLAN tags",
        "gre7": "a tunnel (GRE)",
        "ipip7": "a tunnel (IPIP)",
        "sit7": "a tunnel (SIT)",
        "geneve7": "a tunnel (Geneve)",
        "wg7": "a tunnel (WireGuard)",
        "macsec7": "a tunnel (MACsec)",
        "mpls": "labelled packets are taken on eth0",
        "ipsec": "1 IPsec associations",
    },
    "error": {"registry": "token_file is not set"},
    "ok": {
        "program": "compiles and loads",
        "RLIMIT_MEMLOCK": "bytes here",
        "eth0.7": "carries a default route, and is covered",
    },
}


def test_on_the_lowest_kernel() -> None:
    peergate = Path(sys.executable).with_name("peergate")
    command = f"{SET_UP}{shlex.quote(str(peergate))} doctor --config /tmp/agent.toml --json"
    lowest = kernel("5.10")
    result = run(lowest, command, hardware=Hardware(lowest, devices=[*CARDS]))
    assert result.status == 1, result.output
    findings = json.loads(result.output)["findings"]
    assert "settings" not in {each["subject"] for each in findings}, findings
    for level, subjects in FOUND.items():
        for subject, words in subjects.items():
            said = [f["found"] for f in findings if (f["level"], f["subject"]) == (level, subject)]
            assert any(words in each for each in said), (level, subject, said)
    modes = [each["found"] for each in findings if each["subject"] == "eth0"]
    assert "driver virtio_net: native, generic (known drivers)" in modes
    assert any("guest offloads" in each for each in modes)
