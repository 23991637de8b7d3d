"""The XDP program as compiled, and the shapes of its maps. This module alone imports bcc.

bcc compiles once in a process, and builds the types of the maps from bpf/peergate.h. The program
is the same for maps of all sizes, so that larger ones need no compiler.
"""

import atexit
import errno
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from control import headers, loader, pins, syscalls
from control.errors import DataPlaneError
from control.frame_flags import FrameFlags, frame_flags
from control.maps import CType

LIVE = "peergate"
EXPLAIN = "peergate_explain"
ENTRY_POINTS = (LIVE, EXPLAIN)
CAPTURE = "peergate_capture"
CAPTURING, CAPTURED, USUAL = "capturing", "captured", "usual"  # its own maps
EXPLANATION = "explanation"
ROOT = "root"
ROOT_FD = 1 << 30  # PG_ROOT_FD: stands in the program for its descriptor
CAST = 1 << 30  # PG_CAST: stands in the program for bpf_cast_to_kern_ctx()
HEAD = "head"  # where a frame's first bytes are copied to, if it comes in several buffers

Bcc = Any  # bcc has no types


@dataclass(frozen=True, slots=True)
class MapShape:
    """What a map is made as, but for its size; a per-CPU value's type is for all CPUs."""

    type: int
    flags: int
    key: CType
    value: CType
    value_size: int  # bytes, of one CPU


@dataclass(frozen=True, slots=True)
class Program:
    """Instructions by entry point; `maps`: by the descriptors that stand in them."""

    code: dict[str, bytes]
    maps: dict[int, str]
    shapes: dict[str, MapShape]


@cache
def program(*, frags: bool, capture: bool = False) -> Program:
    """Compiled with what the running kernel has; with `capture` the entry point for that alone.
    Raises DataPlaneError."""
    flags = frame_flags() if frags else None
    if flags is not None and not loader.has_frame_flags(flags):
        flags = None
    entries = (CAPTURE,) if capture else ENTRY_POINTS
    with _compiled(frags, flags, capture) as made:
        names = [*pins.PINNED, EXPLANATION, *([HEAD] if frags else [])]
        names += [CAPTURING, CAPTURED, USUAL] if capture else []
        code = {entry: made.dump_func(entry.encode()) for entry in entries}
        if flags is not None:
            code = {name: loader.with_function(c, CAST, flags.cast) for name, c in code.items()}
        return Program(
            code=code,
            maps={ROOT_FD: ROOT, **{made[name.encode()].map_fd: name for name in names}},
            shapes={name: _shape(made, name) for name in names},
        )


def _shape(made: Bcc, name: str) -> MapShape:
    try:
        table = made[name.encode()]
    except OSError as error:  # bcc counts the CPUs there
        raise DataPlaneError(
            f"{error.filename}: cannot be read: {error.strerror}; mount sysfs at /sys"
        ) from None
    info = syscalls.map_info(table.map_fd)
    return MapShape(info.type, info.flags, table.Key, table.Leaf, info.value_size)


def _bcc() -> Bcc:
    try:
        from bcc import BPF  # untyped, Debian's
    except ImportError:
        raise DataPlaneError(
            "Python does not find bcc: install Debian's python3-bpfcc, and run a virtual "
            "environment of /usr/bin/python3 made with --system-site-packages"
        ) from None
    return BPF


@contextmanager
def _compiled(frags: bool, frame: FrameFlags | None, capture: bool) -> Iterator[Bcc]:
    """bcc's object, with maps of one element, which go with it."""
    bpf = _bcc()
    flags = headers.include_flags()
    if loader.has_coarse_clock():
        flags.append("-DPG_COARSE_CLOCK")
    if frags:
        flags.append("-DPG_FRAGS")
    if capture:
        flags.append("-DPG_CAPTURE")
    if frame is not None:
        flags.append(f"-DPG_FRAME_FLAGS={frame.at}")
    with headers.kernel_headers(), _stderr_held() as noise:
        try:
            made = bpf(src_file=os.fsencode(headers.PROGRAM), cflags=flags)
        except Exception as error:  # bcc raises nothing narrower
            raise _refused(error, noise()) from None
    # bcc would keep it to the end of the process.
    atexit.unregister(made.cleanup)
    try:
        yield made
    finally:
        made.close()


def _refused(error: Exception, noise: str) -> DataPlaneError:
    """One line of what the compiler, or the kernel by bcc, wrote to standard error; the mend."""
    said = [line.strip() for line in noise.splitlines() if line.strip()]
    telling = [line for line in said if "error:" in line] or said[-1:] or [str(error)]
    mend = "install the versions of peergate and python3-bpfcc that belong together"
    if telling[0].endswith(os.strerror(errno.EPERM)):
        mend = loader.memlock_mend() or mend
    return DataPlaneError(f"the program could not be compiled: {telling[0]}; {mend}")


@contextmanager
def _stderr_held() -> Iterator[Callable[[], str]]:
    """Hold back what C code writes to standard error; gives a function that reads it."""
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield lambda: os.pread(held.fileno(), 1 << 20, 0).decode(errors="replace")
        finally:
            os.dup2(kept, 2)
            os.close(kept)
