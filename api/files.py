"""Files that nobody else may read: the database, the registry's key."""

import os
from pathlib import Path

from api.errors import SettingsError


def make_private(file: Path, content: bytes, setting: str) -> None:
    """One that is not there yet. Raises SettingsError, which names the setting of its place."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(file, content)
    except OSError as error:
        raise SettingsError(
            f"{file}: cannot be made ({error.strerror}): run as a user who may, or name another "
            f"place in {setting}"
        ) from error


def replace_private(file: Path, content: bytes) -> None:
    """In one step: a reader sees the old one or the new one. Raises SettingsError."""
    fresh = file.with_name(f".{file.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        _write(fresh, content)
        os.replace(fresh, file)
        flush(file.parent)
    except OSError as error:
        raise SettingsError(f"{file}: cannot be written: {error.strerror}") from error


def flush(path: Path) -> None:
    """What was written there is safe on disk; of a directory, the names in it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as made:
        if os.geteuid() == 0:  # the service has the directory, and need not be root
            owner = file.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        made.write(content)
        made.flush()
        os.fsync(descriptor)
