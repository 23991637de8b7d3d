"""Room for the maps, and where they are pinned."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from control import pins, syscalls
from control.doctor.finding import Finding
from control.doctor.kernel import NO_MEMLOCK, Version
from control.doctor.router import Router
from control.sizes import Sizes

MIB = 1 << 20

# The agent itself, with the compiler in it; and what each registered prefix adds: measured with
# a million (docs/benchmarks.md).
AGENT = 160 * MIB
AGENT_PER_PREFIX = 430


def memory(router: Router) -> Iterator[Finding]:
    there = pins.current(router.settings.bpffs) if router.privileged else None
    sizes = Sizes() if there is None else there[1]
    need = sizes.bytes(os.cpu_count() or 1)
    yield available(need, meminfo(Path("/proc/meminfo").read_text()), there is not None)
    yield from locked(need, router.memlock, router.kernel, router.privileged)
    yield bpffs(router.settings.bpffs)


def meminfo(text: str) -> int:
    """MemAvailable of /proc/meminfo, in bytes."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return 0


def available(need: int, free: int, is_there: bool) -> Finding:
    maps = (
        f"the maps take {need // MIB} MiB" if need >= MIB else f"the maps take {need // 1024} KiB"
    )
    text = (
        f"{maps}, the agent {AGENT // MIB} MiB and {AGENT_PER_PREFIX} bytes for each registered "
        f"prefix; {free // MIB} MiB are available"
    )
    if is_there:
        return Finding("ok", "memory", f"{maps}, and are there; {free // MIB} MiB are available")
    if free < need + AGENT:
        return Finding(
            "warning",
            "memory",
            text,
            "give the machine more",
        )
    if free < 2 * (need + AGENT):
        return Finding("note", "memory", text, "tables that grow are there twice for a moment")
    return Finding("ok", "memory", text)


def locked(need: int, limit: int, kernel: Version, privileged: bool) -> Iterator[Finding]:
    """Before 5.11 maps count as locked memory; root may raise its limit, and the agent does."""
    if kernel >= NO_MEMLOCK:
        return
    enough = limit == resource.RLIM_INFINITY or limit >= 2 * need
    if enough or privileged:
        text = "unlimited" if limit == resource.RLIM_INFINITY else f"{limit} bytes here"
        yield Finding("ok", "RLIMIT_MEMLOCK", f"{text}; root raises it, a unit has its own")
    else:
        yield Finding(
            "warning",
            "RLIMIT_MEMLOCK",
            f"{limit} bytes, and on this kernel maps count as locked memory",
            "run the agent as root, or set LimitMEMLOCK=infinity in its unit",
        )


def bpffs(path: Path) -> Finding:
    try:
        if path.is_dir() and syscalls.filesystem_magic(path) == syscalls.BPF_FS_MAGIC:
            return Finding("ok", "bpffs", f"{path}: a bpf filesystem is mounted")
    except OSError as error:
        return Finding("note", "bpffs", f"{path}: {error.strerror}", "run as root to see it")
    if not filesystem_is_known(Path("/proc/filesystems").read_text(), "bpf"):
        return Finding(
            "error",
            "bpffs",
            "this kernel has no bpf filesystem",
            "use a kernel with CONFIG_BPF_SYSCALL, as the distributions have it",
        )
    return Finding("ok", "bpffs", f"{path}: not mounted yet; the agent mounts it")


def filesystem_is_known(filesystems: str, name: str) -> bool:
    """Of the text of /proc/filesystems."""
    return any(line.split()[-1:] == [name] for line in filesystems.splitlines())
