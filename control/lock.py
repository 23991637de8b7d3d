"""One agent at a time: on its state directory, and on the maps."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from control.errors import SettingsError
from control.state import give_to_owner

NAME = "lock"


@contextmanager
def only_agent(state_dir: Path) -> Iterator[None]:
    """Hold the state directory's lock; the kernel lets go of it when the process ends.

    Raises SettingsError with the other agent's process id.
    """
    path = state_dir / NAME

    def taken() -> str:
        holder = path.read_text().strip() or "unknown"
        return f"another agent runs on this state directory: process {holder}; stop it first"

    with locked(state_dir, NAME, taken) as descriptor:
        with suppress(OSError):  # a full disk: the lock holds, only its holder is not named
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        yield


@contextmanager
def locked(state_dir: Path, name: str, taken: Callable[[], str]) -> Iterator[int]:
    """A file of the state directory, which is its owner's, locked. Raises SettingsError, where
    somebody has the lock with what `taken` says."""
    path = state_dir / name
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be opened: {error.strerror}; run as root") from None
    try:
        give_to_owner(descriptor, state_dir)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(f"{path}: {taken()}") from None
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def only_agent_on(bpffs: Path) -> Iterator[None]:
    """Hold the lock of the maps, which agents with other state directories could share.

    Raises SettingsError where another agent has it. Without a directory there is nothing to hold.
    """
    try:
        descriptor = os.open(bpffs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise SettingsError(f"{bpffs}: cannot be opened: {error.strerror}; run as root") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                f"{bpffs}: another agent, with another state directory, keeps its maps there; "
                "stop it first, or give each its own bpffs"
            ) from None
        yield
    finally:
        os.close(descriptor)


def holder(state_dir: Path) -> int | None:
    """The process id of the agent that runs, None where none does."""
    path = state_dir / NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = path.read_text().strip()
        return int(text) if text.isdecimal() else None
    else:
        return None
    finally:
        os.close(descriptor)
