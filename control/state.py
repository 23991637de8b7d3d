"""What an agent remembers on disk between runs: small files in its state directory.

Every write is atomic: a reader sees the old file or the new one, also after a power cut.
"""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from control.errors import SnapshotError
from policy.window import FOREVER_NS

log = logging.getLogger(__name__)

REGISTRY = "registry.json"
APPLIED = "applied.json"
POLICY_FILE = "policy-file.json"
ACCEPTED_REMOVAL = "accepted-removal.json"
CLOCK = "clock.json"
FILLED = "filled.json"

# What stands for a registry where a policy file is followed.
NO_REGISTRY = "file"

ACCEPTED_FOR_NS = 3600 * 10**9

# Root may write here too, where another user has the directory and could put links in it: only
# what is new is written to.
_NEW = os.O_WRONLY | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL


@dataclass(frozen=True, slots=True)
class Known:
    """The registry that this router follows, and the highest revision of it applied here."""

    registry: str
    revision: int


@dataclass(frozen=True, slots=True)
class Applied:
    """What the maps hold, and why a later revision is held back, if one is."""

    registry: str
    revision: int
    held: str | None = None


def write_atomically(path: Path, content: bytes, *, flush: bool = True) -> None:
    """Write, flush to the disk, rename, flush the directory. Raises SnapshotError.

    Without `flush` it outlives this process, but perhaps not the machine.
    """
    with replacing(path, flush=flush) as file:
        file.write(content)


@contextmanager
def replacing(path: Path, *, flush: bool = True) -> Iterator[BinaryIO]:
    """What is written becomes the file once it is all on the disk. Raises SnapshotError."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, _NEW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            give_to_owner(descriptor, path.parent)
            yield file
            file.flush()
            if flush:
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if flush:
            _flush(path.parent)
    except OSError as error:
        raise SnapshotError(f"{path}: cannot be written: {error.strerror}") from None


def _flush(path: Path) -> None:
    """Wait until a file or directory is on the disk as it is now."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def give_to_owner(descriptor: int, directory: Path) -> None:
    """What root makes in the agent's directory is the agent's, which need not be root."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def prepare(state_dir: Path) -> None:
    """The state directory is there, for root alone. Raises SnapshotError."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SnapshotError(
            f"{state_dir}: cannot be made: {error.strerror}; see the setting `state_dir`"
        ) from None


def _read(path: Path) -> dict[str, object]:
    """The file's object; empty where there is none, or none that is whole."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, content: Mapping[str, object], *, flush: bool = True) -> None:
    write_atomically(path, json.dumps(dict(content)).encode() + b"\n", flush=flush)


def remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise SnapshotError(f"{path}: cannot be removed: {error.strerror}") from None


def known_registry(state_dir: Path) -> Known | None:
    """The registry accepted here; None before the first contact.

    Where its own file is damaged, the one whose allowlist is in force: a router must not
    follow the next best registry because of a bad disk.
    """
    content = _read(state_dir / REGISTRY)
    registry, revision = content.get("registry"), content.get("revision")
    if isinstance(registry, str) and isinstance(revision, int):
        return Known(registry, revision)
    done = applied(state_dir)
    if done is not None and done.registry != NO_REGISTRY:
        return Known(done.registry, done.revision)
    return None


def reached(state_dir: Path) -> Known | None:
    """The same, with what is in force already and on its way to the disk."""
    known, done = known_registry(state_dir), applied(state_dir)
    if known is None or done is None or known.registry != done.registry:
        return known
    return Known(known.registry, max(known.revision, done.revision))


def remember_registry(state_dir: Path, known: Known) -> None:
    _write(state_dir / REGISTRY, {"registry": known.registry, "revision": known.revision})


def accept_registry(state_dir: Path, registry: str) -> None:
    """From now on this router follows the registry of that id, at whatever revision it is."""
    prepare(state_dir)
    remember_registry(state_dir, Known(registry, 0))


def applied(state_dir: Path) -> Applied | None:
    """What was applied last; None before the first time."""
    content = _read(state_dir / APPLIED)
    registry, revision = content.get("registry"), content.get("revision")
    held = content.get("held")
    if isinstance(registry, str) and isinstance(revision, int):
        return Applied(registry, revision, held if isinstance(held, str) else None)
    return None


def remember_applied(state_dir: Path, done: Applied) -> None:
    """At once, as it must agree with the maps; they do not outlive the machine either."""
    content = {"registry": done.registry, "revision": done.revision, "held": done.held}
    _write(state_dir / APPLIED, content, flush=False)


def flush_applied(state_dir: Path) -> None:
    """What was remembered so far outlives the machine too. Raises SnapshotError."""
    try:
        _flush(state_dir / APPLIED)
        _flush(state_dir)
    except OSError as error:
        raise SnapshotError(f"{state_dir}: cannot be written: {error.strerror}") from None


def accept_removal(state_dir: Path, revision: int) -> None:
    """Let the change held at `revision` through; the running agent sees it within a second.

    It is good for an hour: a number mistyped must not let a later change through.
    """
    prepare(state_dir)
    until = time.time_ns() + ACCEPTED_FOR_NS
    _write(state_dir / ACCEPTED_REMOVAL, {"revision": revision, "until_ns": until})


def accepted_removal(state_dir: Path) -> int | None:
    """The revision accepted, until it is used up or too long ago."""
    content = _read(state_dir / ACCEPTED_REMOVAL)
    revision, until = content.get("revision"), content.get("until_ns")
    if isinstance(revision, int) and isinstance(until, int):
        left = until - time.time_ns()
        return revision if 0 < left <= ACCEPTED_FOR_NS else None
    return None


def use_up_removal(state_dir: Path) -> None:
    remove(state_dir / ACCEPTED_REMOVAL)


def policy_file_revision(state_dir: Path, digest: str) -> int:
    """A number for a policy file's content: the last one's for the same content, else the next."""
    path = state_dir / POLICY_FILE
    content = _read(path)
    last = content.get("revision")
    revision = last if isinstance(last, int) else 0
    if content.get("sha256") == digest and revision:
        return revision
    try:
        _write(path, {"sha256": digest, "revision": revision + 1})
    except SnapshotError as error:  # a full disk must not keep a change out of the maps
        log.error("%s", error.message)
    return revision + 1


def saved_time(state_dir: Path) -> int:
    """The last time saved, ns since 1970; 0 where none is."""
    now = _read(state_dir / CLOCK).get("now_ns")
    return now if isinstance(now, int) and 0 < now <= FOREVER_NS else 0


def save_time(state_dir: Path, now: int) -> None:
    _write(state_dir / CLOCK, {"now_ns": now})


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def is_filled(state_dir: Path, pin_dir: Path) -> bool:
    """Whether the maps pinned there have held a whole allowlist since this boot."""
    content = _read(state_dir / FILLED)
    filled = content.get("pin_dirs")
    return content.get("boot") == _boot() and isinstance(filled, list) and str(pin_dir) in filled


def mark_filled(state_dir: Path, *pin_dirs: Path) -> None:
    """Those pinned there, and no others. Raises SnapshotError."""
    _write(state_dir / FILLED, {"pin_dirs": [*map(str, pin_dirs)], "boot": _boot()})


def forget_filled(state_dir: Path) -> None:
    remove(state_dir / FILLED)
