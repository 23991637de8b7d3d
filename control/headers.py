"""The C sources, and compiler flags with which bcc needs no kernel headers.

`bpf/kernel` stands in for a kernel's source tree: the few names that bcc's helpers want, and
linux-libc-dev's UAPI headers for the rest. So a router needs no headers that match its kernel.
"""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from control.errors import DataPlaneError

SOURCES = Path(str(files("bpf")))
PROGRAM = SOURCES / "peergate.c"
LAYOUT = SOURCES / "peergate.h"
HASHES = SOURCES / "hashing.h"
FILTER = SOURCES / "filter.h"
AROUND = SOURCES / "around.h"
PLACES = SOURCES / "sources.h"
KERNEL = SOURCES / "kernel"

SYSTEM = Path("/usr/include")


def include_flags() -> list[str]:
    """Where the compiler finds our headers, and after all others the system's.

    Raises DataPlaneError where these are missing: bcc 0.26 would crash.
    """
    machine = SYSTEM / f"{platform.machine()}-linux-gnu"
    directories = [SYSTEM, machine] if machine.is_dir() else [SYSTEM]
    for needed in ("linux/types.h", "asm/types.h"):
        if not any((directory / needed).is_file() for directory in directories):
            raise DataPlaneError(f"{SYSTEM}/{needed} is missing: install linux-libc-dev")
    after = [flag for directory in directories for flag in ("-idirafter", str(directory))]
    return [f"-I{SOURCES}", *after]


@contextmanager
def kernel_headers() -> Iterator[None]:
    """bcc finds the stand-in while this lasts."""
    before = os.environ.get("BCC_KERNEL_SOURCE")
    os.environ["BCC_KERNEL_SOURCE"] = str(KERNEL)
    try:
        yield
    finally:
        if before is None:
            del os.environ["BCC_KERNEL_SOURCE"]
        else:
            os.environ["BCC_KERNEL_SOURCE"] = before
