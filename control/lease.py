"""Whether somebody has his own program in place of the agent's for a while, with leave.

The lease is a lock on a file: the kernel lets go of it when its holder ends.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from control.errors import SettingsError
from control.state import give_to_owner

NAME = "capture"


@contextmanager
def held(state_dir: Path, program: int) -> Iterator[None]:
    """The agent leaves the program with this id where it is. Raises SettingsError."""
    path = state_dir / NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be opened: {error.strerror}; run as root") from None
    try:
        give_to_owner(descriptor, state_dir)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(f"{path}: another capture runs on this router") from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{program}\n".encode())
        yield
    finally:
        os.close(descriptor)


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
