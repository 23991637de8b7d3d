"""The kernel: its version, what BPF may do in it, and whether the program is taken."""

import platform
import re
from collections.abc import Iterator

from control.doctor import sysctl
from control.doctor.finding import Finding

Version = tuple[int, int]

LOWEST: Version = (5, 10)
NO_MEMLOCK: Version = (5, 11)
MULTI_BUFFER: Version = (5, 18)

# What later kernels have, and what it is good for.
LATER: tuple[tuple[Version, str], ...] = (
    ((5, 11), "a coarse clock for windows, and maps outside of locked memory"),
    (MULTI_BUFFER, "XDP on frames of several buffers (jumbo frames)"),
    ((6, 3), "drivers that say which XDP they have"),
)

ARCHITECTURES = ("x86_64", "aarch64")


def parse_version(release: str) -> Version | None:
    """5.10 of 5.10.0-32-amd64."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return None if match is None else (int(match[1]), int(match[2]))


def kernel() -> Iterator[Finding]:
    yield version(platform.release())
    yield architecture(platform.machine())
    yield jit(sysctl.read("net/core/bpf_jit_enable"))
    harden = sysctl.read("net/core/bpf_jit_harden")
    unprivileged = sysctl.read("kernel/unprivileged_bpf_disabled")
    yield from unprivileged_bpf(unprivileged)
    yield from hardening(harden, unprivileged)


def version(release: str) -> Finding:
    found = parse_version(release)
    if found is None:
        return Finding("warning", "kernel", f"its version is not understood: {release!r}")
    if found < LOWEST:
        return Finding(
            "error",
            "kernel",
            f"Linux {release}: older than {LOWEST[0]}.{LOWEST[1]}, the lowest that will do",
            "install a later kernel, as in: apt install linux-image-amd64",
        )
    missing = [
        f"{what} ({major}.{minor})" for (major, minor), what in LATER if found < (major, minor)
    ]
    if missing:
        return Finding(
            "note",
            "kernel",
            f"Linux {release}: without {'; without '.join(missing)}",
            "nothing has to be done; a later kernel has these",
        )
    return Finding("ok", "kernel", f"Linux {release}: coarse clock, multi-buffer XDP, XDP features")


def architecture(machine: str) -> Finding:
    if machine in ARCHITECTURES:
        return Finding("ok", "architecture", machine)
    return Finding("error", "architecture", f"{machine} is not known here", "use x86-64 or arm64")


def jit(enable: int | None) -> Finding:
    if enable is None:
        return Finding(
            "note",
            "bpf_jit_enable",
            "cannot be seen in this network namespace, or this kernel has no compiler for BPF",
            "look in the first namespace: sysctl net.core.bpf_jit_enable",
        )
    if enable == 1:
        return Finding("ok", "bpf_jit_enable", "1: programs run as machine code")
    why = (
        "0: programs are interpreted, several times slower"
        if enable == 0
        else f"{enable}: every program is dumped to the kernel log, for debugging alone"
    )
    return Finding("warning", "bpf_jit_enable", why, "sysctl -w net.core.bpf_jit_enable=1")


def hardening(harden: int | None, unprivileged: int | None) -> Iterator[Finding]:
    if harden == 2:
        yield Finding(
            "warning",
            "bpf_jit_harden",
            "2: constants are blinded in root's programs too, which makes each packet dearer",
            "sysctl -w net.core.bpf_jit_harden=1, which hardens what others load",
        )
    elif harden == 0 and unprivileged == 0:
        yield Finding(
            "note",
            "bpf_jit_harden",
            "0, while every user may load BPF programs",
            "sysctl -w net.core.bpf_jit_harden=1",
        )
    elif harden is not None:
        yield Finding("ok", "bpf_jit_harden", f"{harden}: root's programs run as they are")


def unprivileged_bpf(disabled: int | None) -> Iterator[Finding]:
    subject = "unprivileged_bpf_disabled"
    if disabled == 0:
        yield Finding(
            "warning",
            subject,
            "0: every user may load BPF programs; peergate needs none of that",
            "sysctl -w kernel.unprivileged_bpf_disabled=2 (1 on kernels that refuse 2)",
        )
    elif disabled is not None:
        yield Finding("ok", subject, f"{disabled}: BPF is for privileged users")
