"""Whether somebody has his own program in place of the agent's for a while, with leave.

The lease is a lock on a file: the kernel lets go of it when its holder ends.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from control.lock import locked

NAME = "capture"


@contextmanager
def held(state_dir: Path, program: int) -> Iterator[None]:
    """The agent leaves the program with this id where it is. Raises SettingsError."""
    with locked(state_dir, NAME, lambda: "another capture runs on this router") as descriptor:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{program}\n".encode())
        yield


def holder(state_dir: Path) -> int | None:
    """Whose program it is; None where nobody has a lease."""
    try:
        descriptor = os.open(state_dir / NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        said = os.read(descriptor, 32).strip()
        return int(said) if said.isdigit() else None
    else:
        return None
    finally:
        os.close(descriptor)
