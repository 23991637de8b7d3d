"""A machine that boots systemd does what it is told, and leaves nothing behind."""

from pathlib import Path

import pytest

from tests.vm.kernels import SERIES, kernel
from tests.vm.machine import Hardware, MachineError
from tests.vm.system import CommandError, Done, System


@pytest.mark.timeout(600)
def test_commands_one_after_the_other(tmp_path: Path) -> None:
    hardware = Hardware(kernel(SERIES[0]), shares={"here": (tmp_path, False)})
    with System(hardware) as system:
        assert system.run("uname -r; echo trouble >&2") == f"{hardware.kernel.release}\ntrouble\n"
        assert system.attempt("echo $((6 * 7)); exit 3") == Done(3, "42\n")
        with pytest.raises(CommandError, match="status 1"):
            system.run("false")
        system.run("echo kept >/mnt/here/file; modprobe veth; sleep 1000 & echo $! >/run/pid")
        assert (tmp_path / "file").read_text() == "kept\n"
        # What was left running goes on, and holds nobody up.
        system.run("kill -0 $(cat /run/pid)")
        assert system.run("systemctl is-system-running --wait") == "running\n"
        directory, process = system.directory, system.process
        with pytest.raises(MachineError, match="not done after 1 s\nqemu: "):
            system.run("sleep 1000", seconds=1)
    assert process.poll() is not None
    assert not directory.exists()
