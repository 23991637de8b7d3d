"""The XDP program and its maps. This module alone imports bcc.

bcc compiles and loads the program and builds the types of the maps from bpf/peergate.h; what
goes in and out of the maps is said in control/model.py's words.
"""

import atexit
import errno
import os
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from control import headers, loader, pins, syscalls
from control.arrays import BpfArray, open_array
from control.columns import ENTRY, Rows
from control.entries import Entries
from control.errors import DataPlaneError
from control.guard import Guard, Guarded, Types
from control.hashing import Secret
from control.maps import BpfMap
from control.model import Count, Difference, Explanation, GatewayRow, Sizes, Tables
from control.rows import number_key, read_entry
from control.sources import Sources

LIVE = "peergate"
EXPLAIN = "peergate_explain"
TABLES = (*pins.PINNED, "explanation")
HEAD = "head"  # where a frame's first bytes are copied to, if it comes in several buffers

ACTIONS = {1: "drop", 2: "pass"}  # XDP_DROP, XDP_PASS
Bcc = Any  # bcc has no types

SHORTEST_FRAME = 14  # BPF_PROG_TEST_RUN refuses less
LONGEST_FRAME = 2048  # and some kernels more than a page; what decides stands far before this

NO_GATEWAY = 0
TICK_SHIFT = 40
_FIRST = number_key(0)


class DataPlane:
    """A loaded program with its maps, pinned or private. Not for two threads but `explain`."""

    def __init__(
        self, sizes: Sizes, pin_dir: Path | None, *, adopt: bool = False, frags: bool = True
    ) -> None:
        """`pin_dir`: where maps are pinned, or with `adopt` have been; None: they are private.

        `frags`: take frames of several buffers, where the kernel has them.
        """
        self.sizes = sizes
        self.pin_dir = pin_dir
        self.adopted = adopt
        self._explaining = threading.Lock()
        self._fds: dict[str, int] = {}
        try:
            loader.check_privilege()
            self.frags = frags and loader.has_frags()
            with _compiled(sizes, self.frags) as made:
                names = (*TABLES, HEAD) if self.frags else TABLES
                self._tables = {name: self._table(made, name) for name in names}
                fds = {made[name.encode()].map_fd: self._fds[name] for name in names}
                for entry in (LIVE, EXPLAIN):
                    code = loader.over_maps(made.dump_func(entry.encode()), fds)
                    self._fds[entry] = loader.load(code, entry, frags=self.frags)
        except BaseException:
            self.close()
            raise
        self.program_fd = self._fds[LIVE]
        self.program_id = syscalls.program_info(self.program_fd).id
        self._set_up_arrays()
        fields = [name for name, _ in self._tables["counters"].value._type_._fields_]
        self._counters: tuple[str, ...] = tuple(fields)
        # Fields are verdict_action, in the order of enum pg_verdict.
        self.verdict_words = tuple(dict.fromkeys(name.rpartition("_")[0] for name in fields))

    @classmethod
    def offline(cls, sizes: Sizes) -> Self:
        """A program with maps of its own, which go with it."""
        return cls(sizes, None)

    @classmethod
    def pinned(cls, bpffs: Path, sizes: Sizes, *, create: bool = True) -> Self:
        """The set of maps of this layout and these sizes, made if there is none yet.

        Raises DataPlaneError: not privileged, a pin that is missing or of another shape,
        or no set where none may be made.
        """
        directory = pins.set_dir(bpffs, sizes)
        if directory.is_dir():
            pins.check_whole(directory)
            return cls(sizes, directory, adopt=True)
        if not create:
            raise DataPlaneError(
                f"{directory}: no maps are pinned there; start the agent first, with the same sizes"
            )
        pins.ensure_bpffs(bpffs)
        fresh = pins.new_dir(directory)
        try:
            plane = cls(sizes, fresh)
        except BaseException:
            pins.remove_set(fresh)
            raise
        fresh.rename(directory)
        plane.pin_dir = directory
        return plane

    def close(self) -> None:
        """Unload the program, unless it is attached; pinned maps stay."""
        while self._fds:
            os.close(self._fds.popitem()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # Maps

    def _set_up_arrays(self) -> None:
        arrays: dict[str, BpfArray] = {}
        for name in pins.ARRAYS:
            table = self._tables[name]
            arrays[name] = open_array(name, table.fd, table.value, table.max_entries)
        self._root = arrays["root"].rows
        if not self._root["secret"][0].any():
            secret = np.frombuffer(secrets.token_bytes(32), np.uint64).copy()
            secret[1:3] |= np.uint64(1)
            self._root["secret"][0] = secret
        if arrays["entries"].rows.dtype != ENTRY:
            raise DataPlaneError("struct pg_entry is not as control/columns.py has it")
        types = Types(self._tables["targets"].value, self._tables["gateways"].value)
        self._guard = Guard(arrays, types)
        self._secret = self._root["secret"][0].copy()
        overflow = self._tables["overflow"]
        self._sources = Sources(
            arrays, overflow, Secret(self._secret), self.sizes, fresh=not self.adopted
        )

    def tables(self) -> Tables:
        """What the maps hold now."""
        entries = Entries(self._sources.live())
        return Tables(self._guard.gateways(), self._guard.targets(), entries)

    def gateways(self) -> dict[int, GatewayRow]:
        """Every gateway by its number, those removed among them."""
        return self._guard.gateways()

    def held(self) -> Tables:
        """What was written or adopted: what the maps should hold."""
        return Tables(*self._guard.held(), Entries(self._sources.held()))

    def guarded(self) -> Guarded:
        """Of what is held the gateways and their addresses."""
        return self._guard.held()

    def find(self, keys: Rows) -> Entries:
        """Of what is held the entries with these keys (struct pg_key)."""
        return Entries(self._sources.find(keys))

    def count(self) -> tuple[int, int]:
        """How many hosts and prefixes are held."""
        return self._sources.count()

    def adopt(self) -> int:
        """Take the maps as they are; how much was in them that we never write, and is mended."""
        return self._sources.ensure_adopted(self._now()) + self._guard.adopt()

    def check(self) -> Iterator[int]:
        """Repair the maps where they are not as written, in steps of a few milliseconds.

        Gives how many rows were not, of each step; between two of them anything may be applied.
        """
        held = self._root["secret"][0]
        if (held != self._secret).any():
            self._root["secret"][0] = self._secret
            yield 1
        yield self._guard.check()
        yield from self._sources.check(self._now())

    def _now(self) -> int:
        return time.monotonic_ns() + self.clock()

    def apply(self, difference: Difference) -> None:
        """Write and delete rows, in an order that drops no registered peer meanwhile.

        Raises MapFullError when all else is done: what found no room is not in force.
        """
        write, delete = difference.write, difference.delete
        refused: DataPlaneError | None = None
        now = self._now()
        left = self._sources.write(write.entries.rows, now)
        if write.gateways or write.targets or delete.gateways or delete.targets:
            gateways, targets = self._guard.held()
            gateways.update(write.gateways)
            targets.update(write.targets)
            for number in delete.gateways:
                gateways.pop(number, None)
            for address in delete.targets:
                targets.pop(address, None)
            refused = self._guard.refusal(gateways, targets)
            self._guard.hold(gateways, targets)
        self._sources.delete(delete.entries.rows["key"], now)
        # Deleting may have made room.
        if len(left := self._sources.write(left, now)):
            raise self._sources.full(left)
        if refused is not None:
            raise refused

    def set_clock(self, offset_ns: int) -> None:
        """UTC = the monotonic clock + `offset_ns`; wraps like the kernel's 64 bits."""
        self._root["clock"][0] = offset_ns % 2**64
        self.keep_tick()

    def keep_tick(self) -> None:
        """Write the tick of last seen: units of 2^40 ns (18 minutes), from 1 to 255 and again."""
        self._root["tick"][0] = max(self._now(), 0) // 2**TICK_SHIFT % 255 + 1

    def clock(self) -> int:
        """The offset that the program adds to the monotonic clock."""
        unsigned = int(self._root["clock"][0])
        return unsigned - 2**64 if unsigned >= 2**63 else unsigned

    def counters(self) -> dict[int, dict[str, Count]]:
        """Every gateway's counters by name; number 0 counts where no gateway is known."""
        numbers = [NO_GATEWAY, *sorted(self.gateways())]
        return {number: self._counts(number) for number in numbers}

    def _counts(self, number: int) -> dict[str, Count]:
        per_cpu = self._tables["counters"].get(number_key(number))
        return {
            name: Count(
                packets=sum(getattr(cpu, name).packets for cpu in per_cpu),
                bytes=sum(getattr(cpu, name).bytes for cpu in per_cpu),
            )
            for name in self._counters
        }

    # Frames

    def explain(self, frame: bytes, now_ns: int) -> Explanation:
        """What the explaining entry point says of `frame` as of `now_ns`; nothing is counted."""
        if len(frame) < SHORTEST_FRAME:
            return Explanation("other", drop=False, gateway=None, entry=None)
        table = self._tables["explanation"]
        with self._explaining:
            table.write([(_FIRST, bytes(table.value(now=now_ns)))])
            self._run(self._fds[EXPLAIN], frame)
            said = table.get(_FIRST)
        return Explanation(
            verdict=self.verdict_words[said.verdict],
            drop=bool(said.drop),
            gateway=None if said.gateway == NO_GATEWAY else said.gateway,
            entry=read_entry(said.entry) if said.has_entry else None,
        )

    def run(self, frame: bytes) -> str:
        """What the live entry point does with `frame`, "pass" or "drop"; it counts.

        A frame too short for the kernel to run passes and is not counted.
        """
        if len(frame) < SHORTEST_FRAME:
            return "pass"
        return ACTIONS[self._run(self.program_fd, frame)]

    def _run(self, fd: int, frame: bytes) -> int:
        try:
            return syscalls.test_run(fd, frame[:LONGEST_FRAME])
        except OSError as error:
            raise DataPlaneError(
                f"a frame of {len(frame)} bytes was not run: {error.strerror}; run as root"
            ) from None

    # Set-up

    def _table(self, made: Bcc, name: str) -> BpfMap:
        """The map as compiled, pinned where it has to be; or the one pinned there."""
        try:
            table = made[name.encode()]
        except OSError as error:  # bcc counts the CPUs there
            raise DataPlaneError(
                f"{error.filename}: cannot be read: {error.strerror}; mount sysfs at /sys"
            ) from None
        pin = self.pin_dir / name if self.pin_dir and name in pins.PINNED else None
        if pin is None or not self.adopted:
            self._fds[name] = os.dup(table.map_fd)
            if pin is not None:
                pins.pin(table.map_fd, pin)
        else:
            self._fds[name] = pins.open_like(pin, table.map_fd)
        return BpfMap(name, self._fds[name], table.Key, table.Leaf, table.max_entries)


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
def _compiled(sizes: Sizes, frags: bool) -> Iterator[Bcc]:
    """bcc's object: instructions, types, and maps, which go with it unless they are kept."""
    bpf = _bcc()
    flags = [
        *headers.include_flags(),
        *(f"-DPG_{name}={number}" for name, number in sizes.constants().items()),
    ]
    if loader.has_coarse_clock():
        flags.append("-DPG_COARSE_CLOCK")
    if frags:
        flags.append("-DPG_FRAGS")
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
