"""A virtual machine as a QEMU process that cannot outlive us."""

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.lifetime import ending_with_us
from tests.vm.kernels import Kernel

_ARGUMENTS = (
    "console=ttyS0 loglevel=4 panic=-1 reboot=t mitigations=off nokaslr tsc=reliable "
    "no_timer_check apparmor=0 selinux=0 audit=0 random.trust_cpu=on lsm=capability"
)
# QEMU 7.2 emulates AVX2 so that NumPy's argsort gives no order; and what has AVX, but not AVX2,
# is rare enough that programs meet it unprepared: apt dies of an illegal instruction.
_EMULATED_CPU = "max,-avx,-avx2,-f16c,-fma,-vaes,-vpclmulqdq"
_PROBE_SECONDS = 20.0


class MachineError(Exception):
    """A virtual machine did not do what it should; its last words are in the message."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a machine is made of. `devices` are further words for QEMU's command line, `shares`
    directories of the host by 9p mount tag, `fds` descriptors that `devices` names.

    With `icount` every guest instruction takes a nanosecond of the guest's time, on every run
    the same (QEMU's -icount shift=0); then there is one CPU.
    """

    kernel: Kernel
    memory: int = 1024
    cpus: int = 1
    icount: bool = False
    devices: Sequence[str] = ()
    shares: Mapping[str, tuple[Path, bool]] = field(default_factory=dict)  # path, read-only
    fds: Sequence[int] = ()
    arguments: str = ""  # the kernel's


class Machine:
    """A machine that runs until it powers off, or until this context ends."""

    def __init__(self, hardware: Hardware, initrd: bytes, accelerate: bool | None = None) -> None:
        self._files = tempfile.TemporaryDirectory(prefix="peergate-vm-")
        self.directory = Path(self._files.name)
        (self.directory / "initrd").write_bytes(initrd)
        if accelerate is None:
            accelerate = not hardware.icount and kvm_works()
        try:
            with (self.directory / "qemu").open("wb") as complaints:
                self.process = subprocess.Popen(
                    ending_with_us(self._argv(hardware, accelerate)),
                    stdin=subprocess.DEVNULL,
                    stderr=complaints,
                    pass_fds=hardware.fds,
                )
        except BaseException:
            self._files.cleanup()
            raise

    def _argv(self, hardware: Hardware, accelerate: bool) -> list[str]:
        if shutil.which("qemu-system-x86_64") is None:
            raise MachineError("qemu-system-x86_64 is not installed: run `./setup.sh vm`")
        here = self.directory
        # On a busy host the emulated TSC is measured wrongly at boot, and time runs too fast.
        clock = "" if hardware.icount or accelerate else "clocksource=hpet"
        one_thread = hardware.icount or hardware.cpus == 1
        emulated = "tcg,tb-size=512" + ("" if one_thread else ",thread=multi")
        argv = [
            *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"),
            *("-no-reboot", "-M", "q35", "-m", str(hardware.memory), "-smp", str(hardware.cpus)),
            *("-accel", "kvm" if accelerate else emulated),
            *("-cpu", "host" if accelerate else _EMULATED_CPU),
            *("-kernel", str(hardware.kernel.image), "-initrd", str(here / "initrd")),
            *("-append", f"{_ARGUMENTS} {clock} {hardware.arguments}"),
            *("-chardev", f"file,id=console,path={here}/console", "-serial", "chardev:console"),
            *("-device", "virtio-rng-pci", "-device", "virtio-serial-pci"),
        ]
        if hardware.icount:
            argv += ["-icount", "shift=0,sleep=on"]
        for tag, (path, read_only) in hardware.shares.items():
            options = f"local,id={tag},path={path},security_model=none,multidevs=remap"
            argv += ["-fsdev", options + (",readonly=on" if read_only else "")]
            argv += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        return [*argv, *hardware.devices]

    def wait(self, seconds: float) -> None:
        """Until it has powered off. Raises MachineError."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise MachineError(f"not done after {seconds:.0f} s\n{self.last_words()}") from None
        if status:
            raise MachineError(f"QEMU ended with status {status}\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of what QEMU and the guest's console said."""
        return "\n".join(f"{name}: {self._read(name)[-4000:]}" for name in ("qemu", "console"))

    def _read(self, name: str) -> str:
        path = self.directory / name
        return path.read_text(errors="replace") if path.exists() else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, as a power cut does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._files.cleanup()


@functools.cache
def kvm_works() -> bool:
    """Whether a kernel comes up under KVM within 20 s; /dev/kvm alone proves nothing."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    if not any(Path(f"/sys/module/{name}").is_dir() for name in ("kvm_intel", "kvm_amd")):
        return False
    from tests.vm.command import run  # which asks us
    from tests.vm.kernels import SERIES, kernel

    try:
        return run(kernel(SERIES[1]), "true", seconds=_PROBE_SECONDS, accelerate=True).status == 0
    except MachineError:
        return False
