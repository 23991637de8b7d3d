"""build/bench.json: what was measured, where and with what."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from bench.rows import Row

FILE = Path("build/bench.json")
_PACKAGES = ("python3-bpfcc", "nftables", "iptables", "ipset", "xdp-tools")


@dataclass(frozen=True, slots=True)
class Document:
    """`mode`, `date` and `seconds` are those of the run; `complete`: all parts, to their ends."""

    mode: str
    complete: bool
    date: str
    seconds: int
    machine: dict[str, object]
    kernel: str
    versions: dict[str, str]
    rows: Sequence[Row]


def write(document: Document, file: Path = FILE) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(document), indent=1) + "\n")
    fresh.rename(file)


def read(file: Path = FILE) -> Document:
    """Raises FileNotFoundError before the first run."""
    return Document(**json.loads(file.read_text()))


def machine() -> dict[str, object]:
    """Memory in GiB; `load` is what else ran, as the kernel's average over a minute."""
    said = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", said, re.M)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": model[1].strip() if model else platform.machine(),
        "cpus": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "caches": _caches(),
        "virtual": "hypervisor" in said,
        "load": round(os.getloadavg()[0], 1),
    }


def versions() -> dict[str, str]:
    """Of what is measured, and of what it is measured against."""
    found = {
        "peergate": metadata.version("peergate"),
        "python": platform.python_version(),
        "numpy": metadata.version("numpy"),
    }
    for package in _PACKAGES:
        asked = ["dpkg-query", "-W", "-f", "${Version}", package]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        found[package] = done.stdout.strip() or "not installed"
    return found


def _caches() -> dict[str, str]:
    """Of the first CPU: "L2" -> "2048K"."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind, level, size = ((index / name).read_text().strip() for name in _CACHE_FILES)
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


_CACHE_FILES = ("type", "level", "size")
