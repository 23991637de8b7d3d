"""Whether somebody has his own program in place of the agent's for a while, with leave.

The lease is a lock on a file: the kernel lets go of it when its holder ends. It says until when,
so that one that is stopped (Ctrl-Z) keeps the agent off for no longer; only the lock stays his.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from control.lock import locked

NAME = "capture"


@contextmanager
def held(state_dir: Path, program: int, until: float) -> Iterator[None]:
    """The agent leaves the program with this id where it is until then, in seconds of
    CLOCK_MONOTONIC. Raises SettingsError, with the process id of who has a lease: stopped, he keeps
    the lock beyond its time."""

    def taken() -> str:
        _, _, number = (state_dir / NAME).read_text().partition("\n")
        who = f"process {number.strip()}" if number else "another process"
        return f"{who} captures on this router; end it first"

    with locked(state_dir, NAME, taken) as descriptor:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{program} {until:.3f}\n{os.getpid()}\n".encode())
        yield


def holder(state_dir: Path) -> int | None:
    """Whose program it is; None where nobody has a lease, or his time is over."""
    try:
        descriptor = os.open(state_dir / NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        said, _, _ = os.read(descriptor, 64).decode(errors="replace").partition("\n")
        program, _, until = said.partition(" ")
        try:
            return int(program) if time.monotonic() < float(until) else None
        except ValueError:  # not written yet
            return None
    else:
        return None
    finally:
        os.close(descriptor)
