"""The lab of vagrant/: its scripts provision real machines, and its README's tour is true.

All in one test: four emulated machines take minutes to come up. With PEERGATE_TOUR=write in the
environment the README gets the outputs of this run.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.watch import wait_until
from tests.vm.kernels import kernel, locked
from tests.vm.tour import Step, normal, rewritten, steps
from tests.vm.vagrant_lab import VAGRANT, Lab

README = VAGRANT / "README.md"
BOX_KERNEL = "6.1"  # what the box has: Debian 12's
SETTLED = 120.0  # seconds until what was commanded is so: a tunnel's retries, in emulation


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make deb` makes."""
    directory = tmp_path_factory.mktemp("dist")
    builder = VAGRANT.parent / "debian" / "build.py"
    with locked("deb"):
        subprocess.run([sys.executable, builder, directory], check=True)
    (built,) = directory.glob("*.deb")
    return built


@pytest.mark.timeout(2400)
def test_the_tour(package: Path, tmp_path: Path) -> None:
    writes = os.environ.get("PEERGATE_TOUR") == "write"
    readme = README.read_text()
    with Lab(kernel(BOX_KERNEL), tmp_path, package) as lab:
        lab.provision_again()
        outputs = []
        for step in steps(readme):
            output = _taken(lab, step, writes)
            if not writes or step.command == "tunnels":
                assert normal(output) == normal(step.output), f"{step.machine}# {step.command}"
            outputs.append(output)
    if writes:
        README.write_text(rewritten(readme, outputs))


def _taken(lab: Lab, step: Step, writes: bool) -> str:
    """What the step prints; one that only looks is asked until it is as the README says."""
    began = time.monotonic()
    output = lab.run(step.machine, step.command)
    asked = 1

    def settled() -> bool:
        nonlocal output, asked
        if not step.matches(output):
            output = lab.run(step.machine, step.command)
            asked += 1
        return step.matches(output)

    if not step.changes and not (writes and step.command != "tunnels"):
        wait_until(settled, SETTLED, 0.5)
    took = time.monotonic() - began
    print(
        f"{step.machine}# {step.command}  [{took:.1f} s, asked {asked}]\n{output}", file=sys.stderr
    )
    return output
