"""Sets of pinned maps in a bpf filesystem, and whose programs use them.

A set is a directory whose name contains a hash of the maps' layout and sizes. It is made under
a name of its own and renamed when it is whole: one of these names holds all maps, or was damaged.
"""

import hashlib
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from control import headers, syscalls
from control.errors import DataPlaneError
from control.model import Sizes

log = logging.getLogger(__name__)

PINNED = ("addresses", "gateways", "hosts", "prefixes", "counters", "clock")

# bpf filesystems refuse dots in names.
_SET = re.compile(r"[0-9a-f]{16}(-new)?")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_TABLE = re.compile(r"^PG_TABLE\(.*?\);", re.DOTALL | re.MULTILINE)


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
            "run as root, or set bpffs to one that is mounted"
        ) from None
    log.info("%s: bpf filesystem mounted", path)


def set_dir(bpffs: Path, sizes: Sizes) -> Path:
    """Where the maps of this layout and these sizes are pinned."""
    layout = _COMMENT.sub("", headers.LAYOUT.read_text())
    tables = _TABLE.findall(headers.PROGRAM.read_text())
    numbers = f"{sizes.max_hosts} {sizes.max_prefixes} {sizes.max_gateways}"
    whole = " ".join([*layout.split(), *" ".join(tables).split(), numbers])
    return bpffs / hashlib.sha256(whole.encode()).hexdigest()[:16]


def new_dir(directory: Path) -> Path:
    """Where a set is made, before it is renamed to `directory`."""
    fresh = directory.with_name(f"{directory.name}-new")
    if fresh.is_dir():
        log.warning("%s: a set that was never finished is removed", fresh)
        remove_set(fresh)
    try:
        fresh.mkdir(mode=0o700)
    except OSError as error:
        raise DataPlaneError(f"{fresh}: not made: {error.strerror}; run as root") from None
    return fresh


def check_whole(directory: Path) -> None:
    """Raise DataPlaneError where a set lacks maps: guessing could forget gateway numbers.

    What shape they have is compared where bcc's types are known.
    """
    found = {path.name for path in directory.iterdir()}
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
    return sorted(path for path in bpffs.iterdir() if path.is_dir() and _SET.fullmatch(path.name))


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
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
    except OSError as error:
        raise DataPlaneError(f"{directory}: not removed: {error.strerror}; run as root") from None


@dataclass(frozen=True, slots=True)
class Programs:
    """Programs that the kernel holds, known by id; ours use a map pinned under `bpffs`."""

    bpffs: Path

    def is_ours(self, program: int) -> bool:
        return bool(self.maps(program) & _pinned_ids(self.bpffs))

    def maps(self, program: int) -> frozenset[int]:
        """The ids of the maps that a program uses."""
        return self._info(program).maps

    def name(self, program: int) -> str:
        return self._info(program).name

    def open(self, program: int) -> int:
        """A descriptor of the program, which the caller closes."""
        try:
            return syscalls.program_fd_by_id(program)
        except OSError as error:
            raise DataPlaneError(
                f"program {program}: not opened: {error.strerror}; run as root"
            ) from None

    def _info(self, program: int) -> syscalls.ProgramInfo:
        fd = self.open(program)
        try:
            return syscalls.program_info(fd)
        finally:
            os.close(fd)


def _pinned_ids(bpffs: Path) -> frozenset[int]:
    paths = [path for directory in sets(bpffs) for path in directory.iterdir()]
    return frozenset(id_ for path in paths if (id_ := _map_id(path)) is not None)


def _map_id(path: Path) -> int | None:
    """The id of the map pinned at `path`; None where that is no map."""
    try:
        fd = syscalls.open_pinned(path)
    except OSError as error:
        raise DataPlaneError(f"{path}: not opened: {error.strerror}; run as root") from None
    try:
        return syscalls.map_info(fd).id
    except OSError:
        return None
    finally:
        os.close(fd)
