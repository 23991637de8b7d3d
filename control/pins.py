"""Sets of pinned maps in a bpf filesystem.

A set is a directory whose name has a hash of the maps' layout, and their sizes. It is made under
a name of its own and renamed when it is whole: one of these names holds all maps, or was damaged.
Beside the maps it holds the programs over them that may be attached, and counters of smaller
sets before it: what they counted goes on counting.
"""

import errno
import hashlib
import logging
import os
import re
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from control import headers, syscalls
from control.errors import DataPlaneError
from control.sizes import Sizes

log = logging.getLogger(__name__)

# Those that are written through mmap(2).
ARRAYS = (
    *("root", "addresses", "targets", "gateways"),
    *("lengths4", "lengths6", "filter", "buckets", "entries"),
)
PINNED = (*ARRAYS, "overflow", "counters", "samples")

# Program pins: this and the program's id. Counters of sets before: this and a number.
PROGRAM = "program-"
COUNTERS = "counters"
SAMPLES = "samples"

AS_OWNER = "run as root, or as the user whom the bpf filesystem was given to"
WITH_BPF = "run as root, or with CAP_BPF"

# bpf filesystems refuse dots in names.
_SET = re.compile(r"([0-9a-f]{16})((?:-[0-9a-f]+)*)(-new)?")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_TABLE = re.compile(r"^BPF_F_TABLE\(.*?\);", re.DOTALL | re.MULTILINE)


def ensure_bpffs(path: Path) -> None:
    """`path` is a bpf filesystem; mounts one there if it is none yet."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if syscalls.filesystem_magic(path) == syscalls.BPF_FS_MAGIC:
            return
        syscalls.mount_bpf(path)
    except OSError as error:
        raise DataPlaneError(
            f"{path}: no bpf filesystem could be mounted there: {error.strerror}; "
            "run as root, or set bpffs to one that is mounted and yours"
        ) from None
    log.info("%s: bpf filesystem mounted", path)


def set_dir(bpffs: Path, sizes: Sizes) -> Path:
    """Where the maps of this layout and these sizes are pinned."""
    return bpffs / f"{_layout()}-{sizes.name}"


def current(bpffs: Path) -> tuple[Path, Sizes] | None:
    """The set of this layout: the largest, where an older one has not been removed yet."""
    found = []
    for path in sets(bpffs):
        parts = _SET.fullmatch(path.name)
        if parts is None or parts[3] or parts[1] != _layout():
            continue
        try:
            found.append((Sizes.named(parts[2].removeprefix("-")), path))
        except ValueError:
            continue
    if not found:
        return None
    sizes, path = max(found, key=lambda each: each[0].bytes(cpus=1))
    return path, sizes


def _layout() -> str:
    paths = headers.LAYOUT, headers.HASHES, headers.FILTER, headers.AROUND, headers.PLACES
    layout = " ".join(_COMMENT.sub("", path.read_text()) for path in paths)
    tables = _TABLE.findall(headers.PROGRAM.read_text())
    # How many elements follow from a set's sizes: the smallest, large ones, and the largest.
    large = (10**6, 10**5), (4_194_304, 1_048_576)
    sets = Sizes(), *(Sizes.room_for(hosts, prefixes, 4_096) for hosts, prefixes in large)
    elements = [sizes.elements() for sizes in sets]
    whole = " ".join([*layout.split(), *" ".join(tables).split(), str(elements)])
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def new_dir(directory: Path) -> Path:
    """Where a set is made, before it is renamed to `directory`."""
    fresh = directory.with_name(f"{directory.name}-new")
    if fresh.is_dir():
        log.warning("%s: a set that was never finished is removed", fresh)
        remove_set(fresh)
    try:
        fresh.mkdir(mode=0o700)
    except OSError as error:
        raise DataPlaneError(f"{fresh}: not made: {error.strerror}; {AS_OWNER}") from None
    return fresh


def check_whole(directory: Path) -> None:
    """Raise DataPlaneError where a set lacks maps: guessing could forget gateway numbers.

    What shape they have is compared where bcc's types are known.
    """
    found = {path.name for path in entries(directory)}
    if missing := [name for name in PINNED if name not in found]:
        raise DataPlaneError(
            f"{directory}: the pins of {', '.join(missing)} are gone: somebody removed them; "
            "run `peergate detach`, then start the agent again"
        )
    for name in PINNED:
        if _map_id(directory / name) is None:
            raise misfit(directory / name, "not a map")


def misfit(path: Path, why: str) -> DataPlaneError:
    return DataPlaneError(
        f"{path}: pinned there is something else ({why}), which this agent did not make; "
        "run `peergate detach`, then start the agent again"
    )


def sets(bpffs: Path) -> list[Path]:
    """Directories of ours, also of other layouts and unfinished ones."""
    if not bpffs.is_dir():
        return []
    return sorted(
        path
        for path in entries(bpffs)
        if _SET.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
    )


def entries(directory: Path) -> list[Path]:
    """What a directory holds; nothing, where it is gone."""
    try:
        return list(directory.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataPlaneError(f"{directory}: not read: {error.strerror}; {AS_OWNER}") from None


def unpin(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DataPlaneError(f"{path}: not unpinned: {error.strerror}; {AS_OWNER}") from None


def remove_set(directory: Path) -> None:
    """Unpin a set; its maps live on while a program uses them.

    It loses its name first, so that an end in the middle leaves no set that looks damaged.
    """
    try:
        if not directory.name.endswith("-new"):
            nameless = directory.with_name(f"{directory.name}-new")
            if nameless.is_dir():
                remove_set(nameless)
            directory = directory.rename(nameless)
        _empty(directory)
        directory.rmdir()
    except OSError as error:
        raise DataPlaneError(f"{directory}: not removed: {error.strerror}; {AS_OWNER}") from None


def _empty(directory: Path) -> None:
    """Root does this too, in a filesystem where the agent's user could put links."""
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for name in os.listdir(opened):
            os.unlink(name, dir_fd=opened)
    finally:
        os.close(opened)


def counters_before(directory: Path) -> list[Path]:
    """Where a set has the counters of smaller ones before it."""
    return sorted(path for path in entries(directory) if path.name.startswith(f"{COUNTERS}-"))


def pinned_ids(directory: Path) -> frozenset[int]:
    """The ids of the maps that are pinned in a set."""
    found = (_map_id(path) for path in entries(directory) if not path.name.startswith(PROGRAM))
    return frozenset(id_ for id_ in found if id_ is not None)


def pin(fd: int, path: Path) -> None:
    try:
        syscalls.pin(fd, path)
    except OSError as error:
        raise _refused(f"{path}: not pinned", error) from None


def open_pinned(path: Path) -> int:
    """A descriptor of what is pinned there, which the caller closes."""
    try:
        return syscalls.open_pinned(path)
    except OSError as error:
        raise _refused(f"{path}: not opened", error) from None


def _refused(what: str, error: OSError) -> DataPlaneError:
    """EPERM is bpf(2)'s own, EACCES the filesystem's."""
    mend = WITH_BPF if error.errno == errno.EPERM else AS_OWNER
    return DataPlaneError(f"{what}: {error.strerror}; {mend}")


def open_shaped(path: Path, wanted: tuple[int, int, int, int | None, int]) -> int:
    """A descriptor of the map pinned at `path`.

    `wanted`: type, sizes of key and value, elements (None: any) and flags; DataPlaneError if it
    has others.
    """
    fields = ("type", "key_size", "value_size", "max_entries", "flags")
    fd = open_pinned(path)
    try:
        found = syscalls.map_info(fd)
        wrong = [
            f"{field} is {getattr(found, field)}, not {right}"
            for field, right in zip(fields, wanted, strict=True)
            if right is not None and getattr(found, field) != right
        ]
        if wrong:
            raise misfit(path, ", ".join(wrong))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _map_id(path: Path) -> int | None:
    """The id of the map pinned at `path`; None where that is no map."""
    fd = open_pinned(path)
    try:
        return syscalls.map_info(fd).id
    except OSError:
        return None
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class Programs:
    """Programs that the kernel holds, by id; ours use the maps of a set under `bpffs`.

    What we attach is pinned before, so that ours can be told, opened and replaced without
    CAP_SYS_ADMIN: only with that does the kernel open a program by its id.
    """

    bpffs: Path

    def keep(self, fd: int) -> None:
        """Pin a program in the set whose maps it uses; without such a set, it stays unpinned."""
        info = syscalls.program_info(fd)
        for directory in sets(self.bpffs):
            path = directory / f"{PROGRAM}{info.id}"
            if not path.exists() and info.maps & pinned_ids(directory):
                pin(fd, path)

    def drop(self, in_use: Container[int]) -> None:
        """Unpin the programs that are not in use: the kernel unloads them."""
        for directory in sets(self.bpffs):
            for path in entries(directory):
                number = path.name.removeprefix(PROGRAM)
                if number.isdecimal() and int(number) not in in_use:
                    unpin(path)

    def is_ours(self, program: int) -> bool:
        """Raises DataPlaneError where the program is gone and we are privileged to know."""
        info = self._pinned_info(program) or self._info_by_id(program)
        if info is None:
            return False
        return any(info.maps & pinned_ids(directory) for directory in sets(self.bpffs))

    def name(self, program: int) -> str | None:
        """None where we are not privileged to know."""
        info = self._info_by_id(program)
        return None if info is None else info.name

    def open(self, program: int) -> int:
        """A descriptor of the program, which the caller closes."""
        fd = self._open_pin(program)
        if fd is None:
            fd = self._open_by_id(program)
        if fd is None:
            raise DataPlaneError(
                f"program {program}: not opened: it is not pinned under {self.bpffs}, and without "
                "CAP_SYS_ADMIN the kernel opens it no other way; run as root"
            )
        return fd

    def _pinned_info(self, program: int) -> syscalls.ProgramInfo | None:
        return _info_and_close(self._open_pin(program))

    def _info_by_id(self, program: int) -> syscalls.ProgramInfo | None:
        return _info_and_close(self._open_by_id(program))

    def _open_pin(self, program: int) -> int | None:
        """The program pinned under that id: the pin must keep what its name says."""
        for directory in sets(self.bpffs):
            path = directory / f"{PROGRAM}{program}"
            if not path.exists():
                continue
            fd = open_pinned(path)
            if _is_program(fd, program):
                return fd
            os.close(fd)
        return None

    def _open_by_id(self, program: int) -> int | None:
        try:
            return syscalls.program_fd_by_id(program)
        except PermissionError:
            return None
        except OSError as error:
            raise DataPlaneError(f"program {program}: not opened: {error.strerror}") from None


def _info_and_close(fd: int | None) -> syscalls.ProgramInfo | None:
    if fd is None:
        return None
    try:
        return syscalls.program_info(fd)
    finally:
        os.close(fd)


def _is_program(fd: int, program: int) -> bool:
    try:
        return syscalls.program_info(fd).id == program
    except OSError:
        return False
