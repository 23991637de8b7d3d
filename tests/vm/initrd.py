"""The first files of a virtual machine: busybox, the modules to reach its root, and an init."""

import lzma
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path, PurePath

from tests.vm.kernels import Kernel, KernelError

_SUFFIX = re.compile(r"\.ko(\.(xz|zst|gz))?$")

# Loaded before the root file system is there; those that a kernel has built in have no file.
ROOT_MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "virtio_rng",
                "9p", "9pnet_virtio", "overlay", "squashfs", "ext4")  # fmt: skip


def initrd(kernel: Kernel, init: str, modules: Iterable[str] = ()) -> bytes:
    """A cpio archive (newc). `init` is a script for busybox's sh; modules are in /mods, and
    their load order in /modlist."""
    archive = _Cpio()
    for name in ("bin", "dev", "proc", "sys", "mods"):
        archive.add(name, stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("bin/busybox", stat.S_IFREG | 0o755, _busybox())
    archive.add("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    names = []
    for path in _in_load_order(kernel, [*ROOT_MODULES, *modules]):
        names.append(_SUFFIX.sub(".ko", path.name))
        archive.add(f"mods/{names[-1]}", stat.S_IFREG | 0o644, _read(path))
    archive.add("modlist", stat.S_IFREG | 0o644, "".join(f"{name}\n" for name in names).encode())
    archive.add("init", stat.S_IFREG | 0o755, init.encode())
    return archive.end()


def _busybox() -> bytes:
    found = shutil.which("busybox")
    if found is None:
        raise KernelError("busybox is not installed: run `./setup.sh vm`")
    return Path(found).read_bytes()


def _in_load_order(kernel: Kernel, names: Iterable[str]) -> list[Path]:
    """The files of modules, each after those it depends on (modules.dep(5))."""
    needs: dict[str, list[str]] = {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        file, _, rest = line.partition(":")
        needs[file] = rest.split()
    by_name = {_SUFFIX.sub("", PurePath(file).name).replace("-", "_"): file for file in needs}
    order: dict[str, None] = {}
    for name in names:
        if found := by_name.get(name.replace("-", "_")):
            order.update(dict.fromkeys([*reversed(needs[found]), found]))
    return [kernel.modules / file for file in order]


def _read(module: Path) -> bytes:
    if module.suffix == ".xz":
        return lzma.decompress(module.read_bytes())
    if module.suffix == ".zst":
        return subprocess.run(["zstd", "-dcq", module], capture_output=True, check=True).stdout
    return module.read_bytes()


class _Cpio:
    """See the kernel's Documentation/driver-api/early-userspace/buffer-format.rst."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._number = 0

    def add(
        self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)
    ) -> None:
        self._number += 1
        text = name.encode() + b"\0"
        fields = (self._number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(text), 0)
        self._append(b"070701" + b"".join(b"%08X" % field for field in fields) + text)
        self._append(data)

    def _append(self, data: bytes) -> None:
        self._bytes += data + bytes(-len(data) % 4)

    def end(self) -> bytes:
        self.add("TRAILER!!!", 0)
        return bytes(self._bytes)
