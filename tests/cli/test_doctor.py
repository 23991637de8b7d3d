"""peergate doctor: what it prints, its exit codes, and who may run it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from control import links, syscalls
from lab.netns import Namespace, veth
from tests.control.test_agent_attach import PASS_EVERYTHING

ROOT = Path(__file__).parents[2]


@pytest.fixture
def router(request: pytest.FixtureRequest) -> Iterator[Namespace]:
    label = f"doctor-{os.getpid()}-{request.node.name[:16]}"
    with Namespace(f"{label}-router") as router, Namespace(f"{label}-internet") as internet:
        veth(router, "uplink", internet, "router")
        router.add_address("uplink", "192.0.2.2/30")
        router.add_route("0.0.0.0/0", "192.0.2.1")
        yield router


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(
        f'router = "edge-1"\ninterfaces = ["uplink"]\nattach = "native"\n'
        f'state_dir = "{tmp_path}/state"\nbpffs = "{tmp_path}/bpf"\n'
    )
    return path


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(
        "gateways: [{name: hub, addresses: [198.51.100.1], services: [wireguard], mode: monitor}]\n"
    )
    return path


def doctor(
    router: Namespace, *arguments: str | Path, bare: bool = False
) -> "subprocess.CompletedProcess[str]":
    """`bare`: without any capability."""
    argv: list[str | Path] = [sys.executable, "-c", "import cli.main; cli.main.main()", "doctor"]
    if bare:
        argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *argv]
    done = router.run([*argv, *arguments], env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def findings(done: "subprocess.CompletedProcess[str]") -> Any:  # noqa: ANN401  # JSON
    return json.loads(done.stdout)["findings"]


def test_a_router_that_is_well(router: Namespace, config: Path, policy: Path) -> None:
    done = doctor(router, "--config", config, "--policy", policy)
    assert done.returncode == 0, done.stdout
    assert "ok       uplink: free for the program, native, driver veth" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("things are well")
    assert done.stderr == ""


def test_what_is_wrong_comes_with_what_to_do(router: Namespace, config: Path) -> None:
    router.sysctl("ipv4/conf/all/accept_source_route", 1)
    router.sysctl("ipv4/conf/uplink/accept_source_route", 1)
    config.write_text(config.read_text().replace('"uplink"', '"nic9"'))
    done = doctor(router, "--config", config)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    (at,) = (n for n, line in enumerate(lines) if line.startswith("warning  accept_source_route: "))
    assert lines[at + 1].strip() == "-> sysctl -w net.ipv4.conf.all.accept_source_route=0"
    assert any(line.startswith("error    nic9: there is no such interface") for line in lines)
    assert any("uplink: carries a default route, and is not in" in line for line in lines)
    assert "2 errors" in lines[-1]


def test_json(router: Namespace, config: Path, policy: Path) -> None:
    done = doctor(router, "--config", config, "--policy", policy, "--json")
    document = json.loads(done.stdout)
    assert document["ok"] is True
    assert {tuple(each) for each in document["findings"]} == {("level", "subject", "found", "mend")}
    assert {each["level"] for each in document["findings"]} <= {"ok", "note", "warning", "error"}


def test_a_machine_without_settings(router: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PEERGATE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("control.settings.DEFAULT_FILE", Path("/nonexistent/agent.toml"))
    with router.entered():
        assert run(["doctor", "--interface", "uplink", "--json"]) == 0


def test_settings_that_are_wrong_do_not_hide_the_machine(router: Namespace, config: Path) -> None:
    config.write_text('interfaces = ["uplink"]\natach = "native"\n')
    done = doctor(router, "--config", config, "--interface", "uplink", "--json")
    assert done.returncode == 1
    found = findings(done)
    (wrong,) = (each for each in found if each["subject"] == "settings")
    assert "did you mean attach?" in wrong["found"]
    assert any("up, with carrier" in each["found"] for each in found)


def test_without_privilege_it_says_less(router: Namespace, config: Path, policy: Path) -> None:
    done = doctor(router, "--config", config, "--policy", policy, "--json", bare=True)
    assert done.returncode == 0, done.stdout
    found = findings(done)
    (told,) = (each for each in found if each["subject"] == "privilege")
    assert "CAP_NET_ADMIN" in told["found"]
    assert told["mend"] == "run as root"
    (program,) = (each for each in found if each["subject"] == "program")
    assert (program["level"], program["mend"]) == ("note", "run as root")
    assert any("no program is attached" in each["found"] for each in found)


def test_whose_program_it_is_only_root_can_say(router: Namespace, config: Path) -> None:
    fd = syscalls.load_xdp(PASS_EVERYTHING, "somebody")
    try:
        with router.netlink() as netlink:
            (index,) = netlink.link_lookup(ifname="uplink")
            attrs = [("IFLA_XDP_FD", fd), ("IFLA_XDP_FLAGS", links.MODE_FLAG["native"])]
            netlink.link("set", index=index, xdp={"attrs": attrs})
        arguments: tuple[str | Path, ...] = ("--config", config, "--json")
        said = [each for each in findings(doctor(router, *arguments)) if "XDP" in each["found"]]
        assert [each["level"] for each in said if "name somebody" in each["found"]] == ["error"]
        (asked,) = (
            each
            for each in findings(doctor(router, *arguments, bare=True))
            if each["mend"] == "run as root to see whose program that is"
        )
        assert (asked["level"], asked["subject"]) == ("note", "uplink")
    finally:
        os.close(fd)


def test_help_has_examples() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import cli.main; cli.main.main()", "doctor", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert "peergate doctor --interface eth0" in done.stdout
    assert "Exit code 1" in done.stdout
