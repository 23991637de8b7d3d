"""The Debian package on a Debian with systemd: one router from installed to purged.

One story in one test, since each machine and each start of an agent is dear in emulation:
`-s` shows what each part took.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lab.watch import wait_until
from tests.vm.kernels import kernel, locked
from tests.vm.machine import Hardware
from tests.vm.system import System, new_disk

ROOT = Path(__file__).parents[2]
SERIES = "6.1"  # the packages are Debian 12's, and so is this kernel
SECONDS = 600.0  # how long anything may take
CAPABILITIES = 1 << 12 | 1 << 38 | 1 << 39  # net_admin, perfmon, bpf
# What systemd-analyze gives these units, in tenths: less is better.
EXPOSURE = {"peergate-agent": 20, "peergate-api": 11}

POLICY = """\
gateways:
  - {name: hub, addresses: [198.51.100.1], services: [wireguard], mode: enforce}
peers:
  - {name: branch, gateway: hub, owner: Branch networks, contact: netops@example.net,
     purpose: a tunnel, sources: [203.0.113.7]}
"""
SETTINGS = """\
router = "edge-1"
interfaces = ["eth0", "late0"]
policy_file = "/etc/peergate/policy.yaml"
max_hosts = 1024
max_prefixes = 1024
max_gateways = 16
"""
# The second boot: nobody answers there, and there is no policy file.
AWAY = SETTINGS.replace(
    'policy_file = "/etc/peergate/policy.yaml"',
    'registry_url = "http://192.0.2.9:8470"\ntoken_file = "/etc/peergate/token"',
)
UPLINK = "[Match]\nName=eth0\n[Network]\nAddress=192.0.2.2/24\nGateway=192.0.2.1\n"
LOOPBACK = "[Match]\nName=lo\n[Network]\nAddress=198.51.100.1/32\n"
# Emulated machines are slow, and share their CPU with others.
PATIENCE = "[Service]\nTimeoutStartSec=600\nWatchdogSec=40\n"
INTERNET = """
ip netns add internet
ip link set eth1 netns internet
ip -n internet addr add 192.0.2.1/24 dev eth1
ip -n internet addr add 203.0.113.7/32 dev eth1
ip -n internet addr add 192.0.2.77/24 dev eth1
ip -n internet link set eth1 up
ip -n internet route add 198.51.100.1 via 192.0.2.2
systemd-run -q --unit=echo python3 /mnt/guest/probe.py echo
until ss -Hlun sport = 51820 | grep -q .; do systemctl -q is-active echo || exit 1; done
"""
# Two cards on one hub: the router's uplink, and the internet's end of it.
CARDS = [
    word
    for name in ("uplink", "internet")
    for word in (
        "-netdev",
        f"hubport,id={name},hubid=1",
        "-device",
        f"virtio-net-pci,netdev={name}",
    )
]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory: old.deb is what `make deb` makes, new.deb the same of a later version."""
    directory = tmp_path_factory.mktemp("packages")
    with locked("deb"):
        subprocess.run([sys.executable, ROOT / "debian/build.py", directory], check=True, cwd=ROOT)
    (built,) = directory.glob("*.deb")
    old = built.rename(directory / "old.deb")
    files = directory / "files"
    subprocess.run(["dpkg-deb", "-R", old, files], check=True)
    control = files / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^(Version: .*)$", r"\1+later", control.read_text()))
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "-b", files, directory / "new.deb"], check=True
    )
    return directory


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_disk(tmp_path_factory.mktemp("disk") / "disk")


@contextmanager
def booted(packages: Path, disk: Path) -> Iterator[System]:
    shares = {"packages": (packages, True), "guest": (ROOT / "tests/vm/guest", True)}
    hardware = Hardware(kernel(SERIES), memory=1536, devices=CARDS, shares=shares)
    with ExitStack() as stack:
        with step("boot"):
            system = stack.enter_context(System(hardware, disk=disk, boot_seconds=SECONDS))
        yield system


@contextmanager
def step(name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{name}: {time.monotonic() - began:.1f} s")


def write(system: System, path: str, text: str, who: str = "-m 0644") -> None:
    system.run(f"install -D {who} /dev/stdin {path} <<'END'\n{text}END")


def value(system: System, unit: str, name: str) -> str:
    return system.run(f"systemctl show -P {name} {unit}").strip()


def program(system: System, interface: str = "eth0") -> int | None:
    """The id of the XDP program in the driver."""
    (link,) = json.loads(system.run(f"ip -j link show {interface}"))
    xdp = link.get("xdp")
    return None if xdp is None else int(xdp["prog"]["id"])


def pins(system: System) -> str:
    """The pinned maps by inode, which change when a map is pinned anew."""
    return system.run(
        "find /run/peergate/bpf -type f ! -name 'program-*' -printf '%p %i %u\\n' | sort"
    )


def capabilities(system: System, unit: str) -> tuple[str, int, int]:
    """The user, and the effective and bounding sets, of a unit's main process."""
    pid = value(system, unit, "MainPID")
    said = system.run(f"stat -c %U /proc/{pid}; grep -E 'CapEff|CapBnd' /proc/{pid}/status").split()
    return said[0], int(said[2], 16), int(said[4], 16)


def start_probe(system: System) -> None:
    system.run(
        "rm -f /run/probe.json; systemd-run -q --unit=probe -p TimeoutStopSec=60 "
        "ip netns exec internet python3 /mnt/guest/probe.py probe /run/probe.json"
    )
    going = wait_until(lambda: so_far(system)["sent"]["registered"] > 20, SECONDS)
    assert going, system.attempt("systemctl status probe echo").output


def so_far(system: System) -> dict[str, dict[str, int]]:
    done = system.attempt("cat /run/probe.json")
    counts: dict[str, dict[str, int]] = json.loads(done.output) if done.status == 0 else {}
    return counts or {"sent": {"registered": 0}, "back": {}}


def end_probe(system: System) -> dict[str, dict[str, int]]:
    system.run("systemctl stop probe")
    return so_far(system)


def monotonic(system: System, pattern: str, unit: str) -> float:
    """When a unit logged such a line, in seconds since the machine's boot."""
    lines = system.run(f"journalctl -b -o short-monotonic --no-pager -u {unit}").splitlines()
    line = next(line for line in lines if re.search(pattern, line))
    found = re.match(r"\[ *([0-9.]+)\]", line)
    assert found, line
    return float(found[1])


@pytest.mark.timeout(1800)
def test_from_installed_to_purged(packages: Path, disk: Path) -> None:
    with booted(packages, disk) as system:
        installed(system)
        started(system)
        start_probe(system)
        hung(system)
        upgraded(system)
        counts = end_probe(system)
        print(counts)
        # From the first start on, through watchdog and upgrade.
        assert counts["back"] == {"registered": counts["sent"]["registered"], "stranger": 0}
        registry(system)
        prepare_reboot(system)
        system.power_off(SECONDS)
    with booted(packages, disk) as system:
        attached_before_the_link_is_up(system)
        removal_refused(system)
        removed(system)


def installed(system: System) -> None:
    with step("install"):
        system.run("dpkg --force-unsafe-io -i /mnt/packages/old.deb", SECONDS)
    for unit in EXPOSURE:
        assert system.attempt(f"systemctl is-enabled {unit}").output == "disabled\n"
        system.run(f"systemctl start {unit}")  # its condition is not met
        assert value(system, unit, "ActiveState") == "inactive"


def started(system: System) -> None:
    write(system, "/etc/peergate/agent.toml", SETTINGS)
    write(system, "/etc/peergate/policy.yaml", POLICY)
    write(system, "/etc/systemd/network/uplink.network", UPLINK)
    write(system, "/etc/systemd/network/lo.network", LOOPBACK)
    for unit in EXPOSURE:
        write(system, f"/etc/systemd/system/{unit}.service.d/vm.conf", PATIENCE)
    system.run("systemctl daemon-reload; systemctl enable -q --now systemd-networkd")
    system.run(INTERNET)
    with step("start of the agent"):
        started = system.attempt("systemctl start peergate-agent", SECONDS)
        assert started.status == 0, system.run("journalctl --no-pager -u peergate-agent")
    assert program(system) is not None
    user, effective, bounding = capabilities(system, "peergate-agent")
    assert (user, effective, bounding) == ("peergate", CAPABILITIES, CAPABILITIES)
    for unit, bound in EXPOSURE.items():
        rated = system.run(f"systemd-analyze security {unit}.service --threshold={bound}")
        print(rated.splitlines()[-1])
    peak = system.run("cat /sys/fs/cgroup/system.slice/peergate-agent.service/memory.peak")
    print(f"most memory of the agent: {int(peak) >> 20} MiB")
    made = pins(system).splitlines()
    assert made
    assert {line.split()[2] for line in made} == {"peergate"}


def hung(system: System) -> None:
    """An agent that is stopped dead: systemd starts another, packets are decided meanwhile."""
    before, pinned = value(system, "peergate-agent", "MainPID"), pins(system)
    attached = program(system)
    with step("a hung agent until the next is ready"):
        system.run(f"kill -STOP {before}")
        assert wait_until(lambda: value(system, "peergate-agent", "NRestarts") != "0", SECONDS)
        assert program(system) == attached
        ready = ("active", "running")
        assert wait_until(
            lambda: (
                (value(system, "peergate-agent", "ActiveState"),
                 value(system, "peergate-agent", "SubState")) == ready
            ),
            SECONDS,
        )  # fmt: skip
    assert "watchdog" in system.run("journalctl --no-pager -u peergate-agent").lower()
    assert value(system, "peergate-agent", "MainPID") != before
    assert pins(system) == pinned


def upgraded(system: System) -> None:
    before, pinned = value(system, "peergate-agent", "MainPID"), pins(system)
    with step("upgrade"):
        system.run("dpkg --force-unsafe-io -i /mnt/packages/new.deb", SECONDS)
    assert system.run("dpkg-query -Wf '${Version}' peergate").endswith("+later")
    assert value(system, "peergate-agent", "ActiveState") == "active"
    assert value(system, "peergate-agent", "MainPID") != before
    assert pins(system) == pinned
    assert program(system) is not None


def registry(system: System) -> None:
    with step("start of the registry"):
        system.run("cp /etc/peergate/api.env.example /etc/peergate/api.env")
        token = system.run("peergate api init 2>/dev/null", SECONDS).strip()
        system.run("systemctl start peergate-api", SECONDS)
    assert capabilities(system, "peergate-api") == ("peergate-api", 0, 0)
    asked = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8470/healthz').status)"
    assert system.run(f'python3 -c "{asked}"') == "200\n"
    owner = system.run("stat -c %U:%a /var/lib/peergate-api /var/lib/peergate-api/registry.db")
    assert owner == "peergate-api:700\npeergate-api:600\n"
    write(system, "/etc/peergate/token", f"{token}\n", "-m 0640 -g peergate")


def prepare_reboot(system: System) -> None:
    """The registry will be out of reach: there is only the last good allowlist."""
    write(system, "/etc/peergate/agent.toml", AWAY)
    system.run("rm /etc/peergate/policy.yaml; systemctl enable -q peergate-agent")


def attached_before_the_link_is_up(system: System) -> None:
    system.run("systemctl is-system-running --wait", SECONDS)
    assert value(system, "peergate-agent", "ActiveState") == "active"
    attached = monotonic(system, "eth0: program .* attached", "peergate-agent")
    up = monotonic(system, "eth0: Gained carrier", "systemd-networkd")
    print(f"boot: attached at {attached:.2f} s, link up at {up:.2f} s")
    assert attached < up
    system.run(INTERNET)
    start_probe(system)
    made = "import time; print(time.clock_gettime(time.CLOCK_MONOTONIC))"
    came = float(
        system.run(f'python3 -c "{made}"; ip link add late0 up type veth peer far0').strip()
    )
    assert wait_until(lambda: program(system, "late0") is not None, SECONDS)
    late = monotonic(system, "late0: program .* attached", "peergate-agent")
    print(f"an interface that comes late: attached {late - came:.3f} s after it was asked for")
    counts = end_probe(system)
    assert counts["back"] == {"registered": counts["sent"]["registered"], "stranger": 0}


def removal_refused(system: System) -> None:
    """What cannot be taken off stays in force, and package and registry with it."""
    system.run("systemctl start peergate-api", SECONDS)
    with step("removal with settings that cannot be read"):
        system.run("cp /etc/peergate/agent.toml /run/agent.toml; echo = >>/etc/peergate/agent.toml")
        before = program(system)
        refused = system.attempt("dpkg -r peergate", SECONDS)
        system.run("cat /run/agent.toml >/etc/peergate/agent.toml")
    assert refused.status != 0
    assert "peergate: not removed; mend this" in refused.output
    assert before is not None
    assert program(system) == before
    assert system.run("dpkg-query -W -f '${db:Status-Status}' peergate") == "installed"
    assert value(system, "peergate-api", "ActiveState") == "active"


def removed(system: System) -> None:
    with step("removal"):
        said = system.run("dpkg -r peergate", SECONDS)
    assert re.search(r"eth0: detached program [0-9]+ \(native\)", said), said
    assert "/run/peergate/bpf: unmounted" in said
    assert "from now on every packet passes" in said
    assert (program(system), program(system, "late0")) == (None, None)
    assert system.attempt("mountpoint -q /run/peergate/bpf").status != 0
    assert system.attempt("pgrep -u peergate,peergate-api").status == 1
    start_probe(system)
    counts = end_probe(system)
    assert counts["back"] == counts["sent"]
    purged = system.run("dpkg -P peergate", SECONDS)
    assert "/var/lib/peergate removed" in purged
    assert "/etc/peergate has files that the package did not make; they stay" in purged
    kept = system.run("ls /etc/peergate; ls -d /var/lib/peergate* /usr/lib/peergate || true")
    assert "agent.toml" in kept
    assert "No such file" in kept
    assert "example" not in kept
