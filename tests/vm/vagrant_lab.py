"""The lab of vagrant/, without Vagrant: vagrant/machines.yaml as virtual machines of ours."""

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict

from lab.watch import wait_until
from tests.vm.kernels import Kernel
from tests.vm.machine import Hardware, MachineError
from tests.vm.rootfs import root_image
from tests.vm.system import System, new_disk

VAGRANT = Path(__file__).parents[2] / "vagrant"
BOOT_SECONDS = 600.0  # four at once, emulated
SCRIPT_SECONDS = 600.0

# systemd's patience with our services is for real machines.
_PATIENCE = """
for unit in peergate-agent peergate-api; do
    mkdir -p /etc/systemd/system/$unit.service.d
    printf '[Service]\\nTimeoutStartSec=600\\nWatchdogSec=600\\n' \\
        >/etc/systemd/system/$unit.service.d/emulated.conf
done
"""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Link(_Model):
    network: str
    mac: str
    settings: list[str]


class Machine(_Model):
    memory: int
    links: dict[str, Link]
    folders: dict[str, str]
    provision: list[list[str]]

    @property
    def scripts(self) -> list[list[str]]:
        """What the Vagrantfile runs in it: scripts with their arguments."""
        links = [["link.sh", name, on.mac, *on.settings] for name, on in self.links.items()]
        return [*links, *self.provision]


class Machines(_Model):
    box: str
    keys: str
    machines: dict[str, Machine]

    def networks(self) -> dict[str, dict[str, str]]:
        """The hardware addresses of a network's cards, by machine, by network."""
        found: dict[str, dict[str, str]] = {}
        for name, machine in self.machines.items():
            for link in machine.links.values():
                found.setdefault(link.network, {})[name] = link.mac
        return found


def machines() -> Machines:
    return Machines.model_validate(yaml.safe_load((VAGRANT / "machines.yaml").read_text()))


class Lab:
    """All machines, up and provisioned; gone when the context ends."""

    def __init__(self, kernel: Kernel, directory: Path, package: Path) -> None:
        self._began = time.monotonic()
        self._kernel = kernel
        self._directory = directory
        self._described = machines()
        self._host = self._host_files(package)
        self._systems: dict[str, System] = {}
        self._ending = False
        with ExitStack() as stack:
            stack.callback(self._end)
            # Made before: while one machine waits for it, the others wait for that machine.
            root_image()
            # A machine ends with the thread that started it: these stay.
            self._pool = stack.enter_context(ThreadPoolExecutor(len(self._described.machines)))
            stack.callback(self._end)
            self._each(self._up)
            self._stack = stack.pop_all()

    def _host_files(self, package: Path) -> Path:
        """A checkout as it is on a host before `vagrant up`: vagrant/ and dist/ side by side."""
        host = self._directory / "host"
        kept = shutil.ignore_patterns(".vagrant", "keys")
        shutil.copytree(VAGRANT, host / "vagrant", ignore=kept)
        (host / "dist").mkdir()
        shutil.copy(package, host / "dist")
        subprocess.run([host / "vagrant" / self._described.keys], check=True)
        return host

    def _each(self, what: Callable[[str], None]) -> None:
        """In all machines at once. Raises the first error."""
        for _ in self._pool.map(what, self._described.machines):
            pass

    def _up(self, name: str) -> None:
        machine = self._described.machines[name]
        hardware = Hardware(
            self._kernel,
            memory=machine.memory,
            devices=self._cards(name),
            shares={"host": (self._host, True)},
            # Nobody sits at them.
            arguments="systemd.mask=getty-static.service",
        )
        system = System(
            hardware,
            disk=new_disk(self._directory / f"{name}.ext4"),
            boot_seconds=BOOT_SECONDS,
        )
        self._systems[name] = system
        self._say(f"{name}: up")
        system.run(_PATIENCE)
        # As Vagrant does: the machine's name, copies of the folders, then the scripts.
        system.run(f"echo {name} >/etc/hostname && hostname {name}")
        for here, there in machine.folders.items():
            system.run(
                f"mkdir -p {PurePosixPath(there).parent} && cp -r /mnt/host/vagrant/{here} {there}"
            )
        self._provision(name)
        self._say(f"{name}: provisioned")

    def _cards(self, name: str) -> list[str]:
        """QEMU's words for a machine's cards. A network is a hub inside its first machine, with
        a UNIX socket to each of the others."""
        words: list[str] = []
        for number, (network, macs) in enumerate(self._described.networks().items()):
            if name not in macs:
                continue
            first, *others = macs
            hub = f"hubport,hubid={number}"
            if name == first:
                words += ["-netdev", f"{hub},id={network}"]
                for other in others:
                    far = f"{network}-{other}"
                    words += ["-netdev", f"{self._stream(far)},server=on,id={far}"]
                    words += ["-netdev", f"{hub},id={far}-port,netdev={far}"]
            else:
                stream = self._stream(f"{network}-{name}")
                words += ["-netdev", f"{stream},server=off,id={network}"]
                self._wait_for_network(f"{network}-{name}")
            card = f"virtio-net-pci,netdev={network},mac={macs[name]},romfile="
            words += ["-device", card]
        return words

    def _stream(self, far: str) -> str:
        return f"stream,addr.type=unix,addr.path={self._directory / far}"

    def _wait_for_network(self, far: str) -> None:
        """QEMU connects once, when it starts: the network's first machine must listen."""
        there = self._directory / far
        if not wait_until(lambda: self._ending or there.exists(), BOOT_SECONDS) or self._ending:
            raise MachineError(f"nobody listens at {there}")

    def _provision(self, name: str) -> None:
        for script, *arguments in self._described.machines[name].scripts:
            if self._ending:
                raise MachineError(f"{name}: ended before {script}")
            began = time.monotonic()
            path = f"/mnt/host/vagrant/provision/{script}"
            self._systems[name].run(shlex.join([path, *arguments]), SCRIPT_SECONDS)
            self._say(f"{name}: {script} took {time.monotonic() - began:.1f} s")

    def provision_again(self) -> None:
        """All scripts once more, as `vagrant provision` does."""
        self._each(self._provision)

    def run(self, name: str, command: str, seconds: float = 300.0) -> str:
        """What somebody sees who logs in as root and types the command."""
        login = f"cd /root && exec bash -l -c {shlex.quote(command)}"
        return self._systems[name].attempt(login, seconds).output

    def _say(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {what}", file=sys.stderr)

    def _end(self) -> None:
        self._ending = True
        for system in list(self._systems.values()):
            system.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
