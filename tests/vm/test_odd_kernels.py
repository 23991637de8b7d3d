"""Kernels told to refuse things: the program loads all the same, or one line says why not."""

import pytest

from tests.vm.command import Result, run
from tests.vm.kernels import kernel
from tests.vm.machine import Hardware

pytestmark = pytest.mark.timeout(600)

SECURITY = "/sys/kernel/security"
PYTHON = ".venv/bin/python -W error -c"
LOAD = """
from control.dataplane import DataPlane
from control.errors import DataPlaneError
from control.sizes import Sizes
from tests.bpf.frames import ether, ip, udp
try:
    with DataPlane.offline(Sizes.room_for(8, 8, 4)) as plane:
        print(plane.run(ether(ip("203.0.113.7", "198.51.100.1") / udp())))
except DataPlaneError as error:
    print(error.message)
"""


def load(series: str, before: str = "", arguments: str = "", first: str = "true") -> Result:
    """What loading the program says; `before` stands before the command."""
    result = run(
        kernel(series),
        f'{first} && {before} {PYTHON} "$LOAD"',
        environment={"LOAD": LOAD},
        hardware=Hardware(kernel(series), arguments=arguments),
    )
    assert result.status == 0, result.output
    assert "Traceback" not in result.output
    return result


@pytest.mark.parametrize("lockdown", ["integrity", "confidentiality"])
def test_lockdown_hinders_nothing(lockdown: str) -> None:
    """The program reads packets and maps, never the kernel's memory."""
    result = load(
        "6.12",
        arguments=f"lsm=lockdown,capability lockdown={lockdown}",
        first=f"mount -t securityfs none {SECURITY} && cat {SECURITY}/lockdown",
    )
    assert f"[{lockdown}]" in result.output
    assert result.output.splitlines()[-1] == "pass"


@pytest.mark.parametrize("version", ["5.10", "6.12"])
def test_locked_memory_is_named_where_it_counts(version: str) -> None:
    """Before 5.11 alone: an agent that may not raise the limit, and has one."""
    limited = "setpriv --bounding-set -sys_resource prlimit --memlock=16384:16384"
    said = load(version, limited).output.strip()
    if version == "5.10":
        assert "may lock 16384 bytes: run as root, or with LimitMEMLOCK=infinity" in said
        assert "\n" not in said
    else:
        assert said == "pass"


def test_root_without_its_capabilities_is_told_which_it_needs() -> None:
    said = load("6.12", "setpriv --bounding-set -sys_admin,-bpf").output.strip()
    assert "CAP_BPF" in said
    assert "\n" not in said
