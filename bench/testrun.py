"""BPF_PROG_TEST_RUN many times over, and what it took of this thread's CPU time."""

import ctypes
import os
import platform
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BPF_NUMBER = {"x86_64": 321, "aarch64": 280}
_PROG_TEST_RUN = 10
_LIVE_FRAMES = 1 << 1
BATCH = 64
# prog_fd, retval, sizes, data in and out, repeat, duration, contexts, flags, cpu, batch_size
_LAYOUT = struct.Struct("=IIIIQQIIIIQQIIII")

_libc = ctypes.CDLL(None, use_errno=True)


def run(fd: int, frame: bytes, repeat: int) -> float:
    """Nanoseconds of this thread for each of `repeat` runs."""
    return _timed(fd, frame, repeat, 0, 0)


def send(fd: int, frame: bytes, repeat: int) -> float:
    """The same, where the program's verdict moves real frames (Linux 5.18 and later)."""
    return _timed(fd, frame, repeat, _LIVE_FRAMES, BATCH)


def _timed(fd: int, frame: bytes, repeat: int, flags: int, batch: int) -> float:
    data = ctypes.create_string_buffer(frame, len(frame))
    attributes = ctypes.create_string_buffer(
        _LAYOUT.pack(
            *(fd, 0, len(frame), 0, ctypes.addressof(data), 0, repeat, 0),
            *(0, 0, 0, 0, flags, 0, batch, 0),
        ),
        _LAYOUT.size,
    )
    number = _BPF_NUMBER[platform.machine()]
    before = time.thread_time_ns()
    result = _libc.syscall(number, _PROG_TEST_RUN, attributes, len(attributes))
    spent = time.thread_time_ns() - before
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"BPF_PROG_TEST_RUN: {os.strerror(code)}")
    return spent / repeat


@contextmanager
def on_one_cpu() -> Iterator[int]:
    """This thread stays on the last CPU that it may use; which that is."""
    before = os.sched_getaffinity(0)
    cpu = max(before)
    os.sched_setaffinity(0, {cpu})
    try:
        yield cpu
    finally:
        os.sched_setaffinity(0, before)


class Softirqs:
    """What ksoftirqd of a CPU took: a receiver's work may be handed to it."""

    def __init__(self, cpu: int) -> None:
        self._stat = next(
            (
                path.with_name("schedstat")
                for path in Path("/proc").glob("[0-9]*/comm")
                if _text(path) == f"ksoftirqd/{cpu}\n"
            ),
            None,
        )

    def ns(self) -> int:
        """CPU time so far; 0 where the kernel does not say."""
        return 0 if self._stat is None else int((_text(self._stat) or "0").split()[0])


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended meanwhile
        return ""
