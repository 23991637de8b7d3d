"""Arrays that packets are judged by, as NumPy columns over the kernel's own memory.

A store of eight aligned bytes is seen whole by a packet; what it points at must be in place
before, and stays as it is until a grace period is over.
"""

import mmap
import platform
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from control import syscalls
from control.errors import DataPlaneError
from control.maps import CType

Rows = NDArray[Any]

# x86 shows stores to other CPUs in their order.
_ORDERED = platform.machine() == "x86_64"


@dataclass(frozen=True, slots=True)
class BpfArray:
    """A BPF_F_MMAPABLE array: `rows` are its values, in place."""

    name: str
    rows: Rows


def open_array(name: str, fd: int, value: CType, max_entries: int) -> BpfArray:
    """The map's memory stays mapped as long as `rows` lives. Raises DataPlaneError."""
    dtype = np.dtype(value)
    size = dtype.itemsize * max_entries
    try:
        memory = mmap.mmap(fd, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
    except OSError as error:
        raise DataPlaneError(
            f"map {name} could not be mapped: {error.strerror}; run as root, or with CAP_BPF"
        ) from None
    return BpfArray(name, np.frombuffer(memory, dtype, max_entries))


def in_order() -> None:
    """What was stored before is seen before what is stored from here on."""
    if not _ORDERED:
        syscalls.memory_barrier()
