"""The harness itself: what a command gives back, and that nothing is left behind."""

import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.vm.command import CommandMachine, run
from tests.vm.kernels import Kernel, KernelError, kernel, version
from tests.vm.machine import Hardware, MachineError

# A kernel may have to be fetched first, by another test even.
pytestmark = pytest.mark.timeout(600)


def test_output_status_and_kernel(booted: Kernel) -> None:
    result = run(booted, 'uname -r; pwd; echo "$WORD"; echo also >&2; exit 3',
                 environment={"WORD": "it's here"})  # fmt: skip
    assert result.output.splitlines() == [booted.release, os.getcwd(), "it's here", "also"]
    assert result.status == 3


def test_modules_load_and_the_host_is_not_written(booted: Kernel, tmp_path: Path) -> None:
    result = run(booted, "modprobe wireguard && ip link add w type wireguard && touch left-behind")
    assert (result.status, result.output) == (0, "")
    assert not Path("left-behind").exists()


def test_a_command_without_an_end_is_ended() -> None:
    with CommandMachine(Hardware(kernel("6.1")), "echo begun; sleep 1000") as machine:
        while "begun" not in machine.output:  # pytest's own limit ends this
            time.sleep(0.2)
        with pytest.raises(MachineError, match=r"not done after 1 s(.|\n)*output: begun"):
            machine.result(1)
        directory, process = machine.directory, machine.process
    assert process.returncode is not None
    assert not directory.exists()


def test_a_panic_is_told() -> None:
    with pytest.raises(MachineError, match=r"powered off before the command ended(.|\n)*sysrq"):
        run(kernel("6.1"), "echo c >/proc/sysrq-trigger; sleep 60")


def test_a_machine_goes_with_its_maker() -> None:
    """SIGKILL of whoever started it leaves no QEMU behind."""
    program = (
        "import os, sys, time; from tests.vm.command import *; from tests.vm.kernels import *\n"
        "machine = CommandMachine(Hardware(kernel('6.1')), 'sleep 1000')\n"
        "print(machine.process.pid, flush=True); time.sleep(1000)"
    )
    with tempfile.TemporaryDirectory() as directory:
        maker = subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": directory},
        )
        assert maker.stdout is not None
        with maker.stdout:
            machine = os.pidfd_open(int(maker.stdout.readline()))
        maker.kill()
        maker.wait()
        try:
            assert select.select([machine], [], [], 60)[0], "QEMU outlived its maker"
        finally:
            os.close(machine)


def test_the_newest_of_a_series() -> None:
    releases = ["6.12.94-1-amd64", "6.12.115+deb13-amd64", "6.12.115+deb13.1-amd64"]
    assert max(releases, key=version) == releases[-1]
    assert min(releases, key=version) == releases[0]


@pytest.mark.parametrize("missing", ["2.4", "six"])
def test_a_kernel_that_there_is_not(missing: str) -> None:
    with pytest.raises(KernelError, match=missing):
        kernel(missing)
