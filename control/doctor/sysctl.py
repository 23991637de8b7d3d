"""Kernel settings, as numbers. What is under net/ is that of the caller's network namespace."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/proc/sys")


def read(key: str) -> int | None:
    """`key` with slashes, as in net/core/bpf_jit_enable; None where it is not there for us."""
    try:
        return int((ROOT / key).read_text())
    except (OSError, ValueError):
        return None


def of_interfaces(directory: str, setting: str) -> Iterator[tuple[str, int]]:
    """A setting by interface, as under net/ipv4/conf; `all` and `default` are among them."""
    try:
        names = sorted(path.name for path in (ROOT / directory).iterdir())
    except OSError:
        return
    for name in names:
        if (value := read(f"{directory}/{name}/{setting}")) is not None:
            yield name, value
