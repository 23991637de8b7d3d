"""Run a command in kernel K: its output and its exit status.

The machine's root is this machine's own file system, read-only, under an overlay in
memory: the command finds the checkout and all that is installed where they are here.
"""

import os
import shlex
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.vm.initrd import initrd
from tests.vm.kernels import Kernel
from tests.vm.machine import Hardware, Machine, MachineError

PREPARE = """#!/bin/sh
b() { /bin/busybox "$@"; }
b mount -t proc proc /proc
b mount -t sysfs sys /sys
b mount -t devtmpfs dev /dev
for m in $(b cat /modlist); do b insmod /mods/$m || b echo "insmod $m failed" >/dev/console; done
b mkdir -p /lower /upper /new
b mount -t tmpfs -o size=80% tmpfs /upper
b mkdir /upper/files /upper/work
"""

# How the lower layer of the root comes: the host's, over 9p.
MOUNT_9P = "b mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000"
_HOST_ROOT = f"{MOUNT_9P},ro,cache=loose root /lower"

_SWITCH = f"""
b mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /new
for d in proc sys dev; do b mkdir -p /new/$d; b mount --move /$d /new/$d; done
b mkdir -p /new/run /new/tmp
b mount -t tmpfs tmpfs /new/run
b mkdir -p /new/run/vm /new/run/modules
b cp /bin/busybox /new/run/busybox
{MOUNT_9P} vm /new/run/vm
{MOUNT_9P},ro,cache=loose modules /new/run/modules
exec /bin/busybox switch_root /new /run/busybox sh /run/vm/start
"""

_START = """
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root TERM=dumb LC_ALL=C.UTF-8
b() { /run/busybox "$@"; }
b mkdir -p /dev/pts /dev/shm
b mount -t devpts devpts /dev/pts
b mount -t tmpfs tmpfs /dev/shm
b mount -t bpf bpf /sys/fs/bpf
b mount -t tracefs tracefs /sys/kernel/tracing
b mount -t cgroup2 cgroup2 /sys/fs/cgroup
b ln -sf /proc/self/fd /dev/fd
b mkdir -p /lib/modules
b rm -rf /lib/modules/$(b uname -r)
b ln -s /run/modules /lib/modules/$(b uname -r)
b ip link set lo up
read up _ </proc/uptime
echo "$up" >/run/vm/booted
. /run/vm/environment
port=$(b grep -lx output /sys/class/virtio-ports/*/name)
/bin/sh /run/vm/command >/dev/$(b basename $(b dirname $port)) 2>&1 </dev/null
echo $? >/run/vm/status
b sync
echo o >/proc/sysrq-trigger
b sleep 60
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a command; `boot` is the guest's time until it began, in seconds."""

    status: int
    output: str
    console: str
    boot: float
    seconds: float


class CommandMachine(Machine):
    """A machine that runs one shell command and powers off. `/run/vm` in it is `shared` here."""

    def __init__(
        self,
        hardware: Hardware,
        command: str,
        *,
        modules: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        accelerate: bool | None = None,
    ) -> None:
        self._began = time.monotonic()
        init = PREPARE + _HOST_ROOT + _SWITCH
        hardware = replace(
            hardware,
            shares={
                "root": (Path("/"), True),
                "modules": (hardware.kernel.modules, True),
                **hardware.shares,
            },
        )
        self._command = command
        self._environment = dict(environment or {})
        super().__init__(hardware, initrd(hardware.kernel, init, modules), accelerate)

    def _argv(self, hardware: Hardware, accelerate: bool) -> list[str]:
        self.shared = self.directory / "shared"
        self.shared.mkdir()
        exports = [f"export {k}={shlex.quote(v)}" for k, v in self._environment.items()]
        where = f"cd {shlex.quote(os.getcwd())}"
        (self.shared / "environment").write_text("\n".join([*exports, where, ""]))
        (self.shared / "command").write_text(self._command + "\n")
        (self.shared / "start").write_text(_START)
        output = self.directory / "output"
        hardware = replace(hardware, shares={**hardware.shares, "vm": (self.shared, False)})
        return [
            *super()._argv(hardware, accelerate),
            *("-chardev", f"file,id=output,path={output}"),
            *("-device", "virtserialport,chardev=output,name=output"),
        ]

    @property
    def output(self) -> str:
        return self._read("output")

    def result(self, seconds: float) -> Result:
        """Wait for its end. Raises MachineError where it did not come to one."""
        try:
            self.wait(seconds)
        except MachineError as error:
            raise MachineError(f"{error}\noutput: {self.output[-4000:]}") from None
        status = self._read("shared/status").strip()
        if not status:
            raise MachineError(f"powered off before the command ended\n{self.last_words()}")
        return Result(
            status=int(status),
            output=self.output,
            console=self._read("console"),
            boot=float(self._read("shared/booted")),
            seconds=time.monotonic() - self._began,
        )


def run(
    kernel: Kernel,
    command: str,
    *,
    seconds: float = 300.0,
    modules: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
    accelerate: bool | None = None,
    hardware: Hardware | None = None,
) -> Result:
    """Run a shell command in the checkout, in a kernel of its own."""
    hardware = hardware or Hardware(kernel)
    with CommandMachine(
        hardware, command, modules=modules, environment=environment, accelerate=accelerate
    ) as machine:
        return machine.result(seconds)
