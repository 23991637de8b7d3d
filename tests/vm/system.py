"""A Debian that boots systemd in a virtual machine, and runs shell commands one after the other.

Its root is the image of tests/vm/rootfs.py, under an overlay in memory; or on a `Disk`, where
what one machine changed is there for the next, as after a reboot.
"""

import json
import socket
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from tests.vm.command import MOUNT_9P, PREPARE
from tests.vm.initrd import initrd
from tests.vm.machine import Hardware, Machine, MachineError
from tests.vm.rootfs import root_image

BOOT_SECONDS = 240.0
# Built in from some kernel on.
_MODULES = ("crc32c_generic",)

# No name of a network card depends on its slot; the service below is the only log-in.
_ARGUMENTS = "net.ifnames=0 systemd.show_status=error"

_INIT = f"""{PREPARE}
[ ! -b /dev/vdb ] || b mount -t ext4 /dev/vdb /upper
b mkdir -p /upper/files /upper/work
b mount -t ext4 -o ro /dev/vda /lower
b mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /new
for d in proc sys dev; do b mkdir -p /new/$d; b mount --move /$d /new/$d; done
b mkdir -p /new/lib/modules/$(b uname -r)
{MOUNT_9P},ro,cache=loose modules /new/lib/modules/$(b uname -r)
@SHARES@
b cat >/new/usr/local/sbin/commands <<'END'
@SERVER@
END
b cat >/new/etc/systemd/system/commands.service <<'END'
@UNIT@
END
b mkdir -p /new/etc/systemd/system/sysinit.target.wants
b ln -sf ../commands.service /new/etc/systemd/system/sysinit.target.wants/commands.service
exec /bin/busybox switch_root /new /sbin/init
"""

# What a command leaves running goes on when the next one comes.
_UNIT = """\
[Unit]
Description=Commands from the machine's host
DefaultDependencies=no
After=systemd-udevd.service systemd-remount-fs.service

[Service]
ExecStart=/usr/bin/python3 -I /usr/local/sbin/commands
KillMode=process
Environment=HOME=/root TERM=dumb LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive"""

_SERVER = '''\
"""One JSON line in for each command, one out with what became of it."""

import json, pathlib, subprocess, tempfile

(name,) = (n for n in pathlib.Path("/sys/class/virtio-ports").glob("*/name")
           if n.read_text().strip() == "commands")
with open(f"/dev/{name.parent.name}", "r+b", buffering=0) as port:
    port.write(b"{}\\n")
    asked = b""
    while True:
        while b"\\n" not in asked:
            asked += port.read(65536)
        line, _, asked = asked.partition(b"\\n")
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(["/bin/bash", "-c", json.loads(line)], stdin=subprocess.DEVNULL,
                                  stdout=output, stderr=subprocess.STDOUT)
            output.seek(0)
            said = output.read().decode(errors="replace")
        answer = json.dumps({"status": done.returncode, "output": said}).encode() + b"\\n"
        while answer:
            answer = answer[port.write(answer):]'''


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one command; output and errors are in the order in which they came."""

    status: int
    output: str


class CommandError(MachineError):
    """A command in the machine that ended with another status than 0."""


class System(Machine):
    """A machine that is up: `run` works once the constructor is through.

    `hardware.shares` are mounted at /mnt/<tag>, `hardware.devices` are network cards and whatever
    else QEMU has words for. `disk` keeps what the machine writes to its root.
    """

    def __init__(
        self,
        hardware: Hardware,
        *,
        disk: Path | None = None,
        boot_seconds: float = BOOT_SECONDS,
        accelerate: bool | None = None,
    ) -> None:
        with ExitStack() as stack:
            ours, theirs = socket.socketpair()
            stack.callback(ours.close)
            with theirs:
                made = _with_system(hardware, theirs.fileno(), disk)
                super().__init__(
                    made, initrd(hardware.kernel, _init(hardware.shares), _MODULES), accelerate
                )
            stack.callback(super().close)
            self._socket, self._answers = ours, ours.makefile("r")
            stack.callback(self._answers.close)
            self._answer(boot_seconds, "booting")
            self._cleanup = stack.pop_all()

    def run(self, command: str, seconds: float = 120.0) -> str:
        """What a command prints. Raises CommandError where its status is not 0."""
        done = self.attempt(command, seconds)
        if done.status:
            raise CommandError(f"{command}\nstatus {done.status}\n{done.output}")
        return done.output

    def attempt(self, command: str, seconds: float = 120.0) -> Done:
        """Run a command of bash, whatever its status. Raises MachineError where it has no end."""
        self._socket.sendall(json.dumps(command).encode() + b"\n")
        said = self._answer(seconds, command)
        return Done(int(str(said["status"])), str(said["output"]))

    def power_off(self, seconds: float = 60.0) -> None:
        """As an operator does it: services are stopped, disks written."""
        self.run("systemctl --no-block poweroff")
        self.wait(seconds)

    def _answer(self, seconds: float, command: str) -> dict[str, object]:
        self._socket.settimeout(seconds)
        try:
            line = self._answers.readline()
        except TimeoutError:
            raise MachineError(
                f"{command}: not done after {seconds:.0f} s\n{self.last_words()}"
            ) from None
        if not line:
            raise MachineError(f"{command}: the machine went off\n{self.last_words()}")
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._cleanup.close()


def new_disk(path: Path, megabytes: int = 2048) -> Path:
    """An empty disk for what a machine writes; it takes as much room as is written."""
    with path.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", path], check=True)
    return path


def _with_system(hardware: Hardware, commands: int, disk: Path | None) -> Hardware:
    drives = [("root", root_image(), "on")]
    if disk is not None:
        drives.append(("disk", disk, "off"))
    words = [
        word
        for name, path, read_only in drives
        for word in (
            *("-drive", f"id={name},file={path},format=raw,if=none,readonly={read_only}"),
            *("-device", f"virtio-blk-pci,drive={name}"),
        )
    ]
    words += ["-chardev", f"socket,id=commands,fd={commands}"]
    words += ["-device", "virtserialport,chardev=commands,name=commands"]
    return replace(
        hardware,
        devices=[*words, *hardware.devices],
        fds=[commands, *hardware.fds],
        shares={"modules": (hardware.kernel.modules, True), **hardware.shares},
        arguments=f"{_ARGUMENTS} {hardware.arguments}",
    )


def _init(shares: Mapping[str, tuple[Path, bool]]) -> str:
    mounts = "\n".join(
        f"b mkdir -p /new/mnt/{tag}\n{MOUNT_9P}{',ro' if read_only else ''} {tag} /new/mnt/{tag}"
        for tag, (_, read_only) in shares.items()
    )
    return _INIT.replace("@SHARES@", mounts).replace("@SERVER@", _SERVER).replace("@UNIT@", _UNIT)
