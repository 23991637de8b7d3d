"""The program in the kernel, over its maps: what goes in and out, in control/model.py's words."""

import os
import secrets
import threading
import time
from collections.abc import Iterator
from ctypes import sizeof
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from control import loader, pins, syscalls
from control.arrays import BpfArray, open_array
from control.columns import ENTRY, Rows
from control.counters import Counters
from control.entries import Entries
from control.errors import DataPlaneError
from control.guard import Guard, Guarded, Types
from control.hashing import Secret
from control.maps import BpfMap
from control.model import Count, Difference, Explanation, GatewayRow, Tables, Target
from control.program import EXPLAIN, EXPLANATION, LIVE, MapShape, program
from control.rows import number_key, read_entry
from control.samples import SampleReader, elements
from control.sightings import TICK_SHIFT, Seen
from control.sizes import Counts, Sizes
from control.sources import Sources
from policy.prefixes import Address

ACTIONS = {1: "drop", 2: "pass"}  # XDP_DROP, XDP_PASS

SHORTEST_FRAME = 14  # BPF_PROG_TEST_RUN refuses less
LONGEST_FRAME = 2048  # and some kernels more than a page; what decides stands far before this

NO_GATEWAY = 0
# Fields of `root` that never change once it is set up, besides the secret.
CONSTANT = ("zero", "lines", "cells4_shift", "cells6_shift", "rooms", "strides", "parts4")
_FIRST = number_key(0)


class DataPlane:
    """A loaded program with its maps, pinned or private. Not for two threads but `explain`."""

    def __init__(
        self,
        sizes: Sizes,
        pin_dir: Path | None,
        *,
        adopt: bool = False,
        frags: bool = True,
        after: "DataPlane | None" = None,
    ) -> None:
        """`pin_dir`: where maps are pinned, or with `adopt` have been; None: they are private.

        `frags`: take frames of several buffers, where the kernel has them. `after`: whose
        counters go on.
        """
        self.sizes = sizes
        self.pin_dir = pin_dir
        self.adopted = adopt
        self._explaining = threading.Lock()
        self._fds: dict[str, int] = {}
        self._after = after
        try:
            loader.check_privilege()
            self.frags = frags and loader.has_frags()
            made = program(frags=self.frags)
            self._tables = {name: self._table(name, made.shapes[name]) for name in made.shapes}
            counting = [self._tables[pins.COUNTERS], *self._counters_before()]
            self.counted = Counters(counting, counting[0].value)
            self._after = None  # or it would live as long as this one
            self.program_fd = self._load(LIVE)
            self.program_id = syscalls.program_info(self.program_fd).id
            self._set_up_arrays()
        except BaseException:
            self.close()
            raise

    @classmethod
    def offline(cls, sizes: Sizes) -> Self:
        """A program with maps of its own, which go with it."""
        return cls(sizes, None)

    @classmethod
    def pinned(cls, bpffs: Path, sizes: Sizes) -> Self:
        """The set of maps of this layout and these sizes, made if there is none yet.

        Raises DataPlaneError: not privileged, or a pin that is missing or of another shape.
        """
        directory = pins.set_dir(bpffs, sizes)
        if directory.is_dir():
            return cls._adopted(sizes, directory)
        pins.ensure_bpffs(bpffs)
        plane = cls._new(sizes, directory, None)
        plane.put_in_place()
        return plane

    @classmethod
    def current(cls, bpffs: Path) -> Self:
        """The set of maps that there is. Raises DataPlaneError where there is none."""
        while (found := pins.current(bpffs)) is not None:
            directory, sizes = found
            try:
                return cls._adopted(sizes, directory)
            except DataPlaneError:
                if directory.is_dir():
                    raise  # else it has just been removed, for larger tables
        raise DataPlaneError(f"{bpffs}: no maps are pinned there; start the agent first")

    @classmethod
    def _adopted(cls, sizes: Sizes, directory: Path) -> Self:
        pins.check_whole(directory)
        return cls(sizes, directory, adopt=True)

    @classmethod
    def _new(cls, sizes: Sizes, directory: Path, after: "DataPlane | None") -> Self:
        """Under the name of an unfinished set, until it is put in place."""
        fresh = pins.new_dir(directory)
        try:
            return cls(sizes, fresh, after=after)
        except BaseException:
            pins.remove_set(fresh)
            raise

    def larger(self, sizes: Sizes) -> "DataPlane":
        """A new set beside this one, empty and not yet in place; the counters are shared."""
        assert self.pin_dir is not None
        plane = self._new(sizes, pins.set_dir(self.pin_dir.parent, sizes), self)
        plane.set_clock(self.clock())
        plane.begin_epoch(self.epoch())
        return plane

    @property
    def place(self) -> Path:
        """Where the set is pinned, or will be once it is put in place."""
        assert self.pin_dir is not None
        return self.pin_dir.with_name(self.pin_dir.name.removesuffix("-new"))

    def put_in_place(self) -> None:
        """Give the set its name: what is in it is whole."""
        assert self.pin_dir is not None
        self.pin_dir = self.pin_dir.rename(self.place)

    def remove(self) -> None:
        """Close it and unpin its maps; they live on while they are attached."""
        self.close()
        if self.pin_dir is not None:
            pins.remove_set(self.pin_dir)

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

    def descriptor(self, name: str) -> int:
        return self._fds[name]

    def _set_up_arrays(self) -> None:
        arrays: dict[str, BpfArray] = {}
        for name in (*pins.ARRAYS, pins.SAMPLES):
            table = self._tables[name]
            arrays[name] = open_array(name, table.fd, table.value, table.max_entries)
        self.samples = SampleReader(arrays.pop(pins.SAMPLES).rows)
        self._root = arrays["root"].rows
        for field, number in {**self.sizes.root(), "zero": 0}.items():
            self._root[field][0] = number
        if not self._root["secret"][0].any():
            secret = np.frombuffer(secrets.token_bytes(32), np.uint64).copy()
            secret[1:3] |= np.uint64(1)
            self._root["secret"][0] = secret
        if arrays["entries"].rows.dtype != ENTRY:
            raise DataPlaneError("struct pg_entry is not as control/columns.py has it")
        types = Types(self._tables["targets"].value, self._tables["gateways"].value)
        self._guard = Guard(arrays, types)
        self._secret = self._root["secret"][0].copy()
        self._constant = {name: self._root[name][0].copy() for name in ("secret", *CONSTANT)}
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

    def targets(self) -> dict[Address, Target]:
        """Every gateway's address with its services."""
        return self._guard.targets()

    def held(self) -> Tables:
        """What was written or adopted: what the maps should hold."""
        return Tables(*self._guard.held(), Entries(self._sources.held()))

    def guarded(self) -> Guarded:
        """Of what is held the gateways and their addresses."""
        return self._guard.held()

    def find(self, keys: Rows) -> Entries:
        """Of what is held the entries with these keys (struct pg_key)."""
        return Entries(self._sources.find(keys))

    def in_parts(self) -> Iterator[Rows]:
        """Of what is held the entries (struct pg_entry), some thousand at a time, in no order."""
        return self._sources.in_parts()

    def counts(self) -> Counts:
        """How many entries of each class are held."""
        return self._sources.counts()

    def adopt(self) -> int:
        """Take the maps as they are; how much was in them that we never write, and is mended."""
        return self._sources.ensure_adopted(self._now()) + self._guard.adopt()

    def check(self) -> Iterator[int]:
        """Repair the maps where they are not as written, in steps of a few milliseconds.

        Gives how many rows were not, of each step; between two of them anything may be applied.
        """
        for name, right in self._constant.items():
            if (self._root[name][0] != right).any():
                self._root[name][0] = right
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
        guarded = write.gateways or write.targets or delete.gateways or delete.targets
        # Whoever passed by one prefix and will by another must not meet a third meanwhile, which
        # has ended: first what lets in, then what does not, and last what let in goes.
        rows, gone = write.entries.rows, delete.entries.rows["key"]
        comes, passed = write.entries.passing(now), delete.entries.passing(now)
        come, ends = (rows, rows[:0]) if comes.all() else (rows[comes], rows[~comes])
        left = self._sources.write(come, now)
        if guarded:
            refused = self._guard.change(write, delete)
        if (len(come) or guarded) and (len(ends) or len(gone)):
            # A packet may have looked for the other prefix before it was there, or have seen what
            # was guarded before.
            syscalls.grace_period()
        left = np.concatenate([left, self._sources.write(ends, now)])
        self._sources.delete(gone[~passed], now)
        if passed.any() and not passed.all():
            syscalls.grace_period()
        self._sources.delete(gone[passed], now)
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

    def seen(self) -> Seen:
        """Whose packets came since this was last asked; in maps adopted, since they were."""
        peers, ticks = self._sources.seen()
        tick = max(self._now(), 0) >> TICK_SHIFT
        return Seen(peers, tick - (tick + 1 - ticks.astype(np.int64)) % 255)

    def clock(self) -> int:
        """The offset that the program adds to the monotonic clock."""
        unsigned = int(self._root["clock"][0])
        return unsigned - 2**64 if unsigned >= 2**63 else unsigned

    def counters(self) -> dict[int, dict[str, Count]]:
        """Every gateway's counters by name; number 0 counts where no gateway is known."""
        numbers = [NO_GATEWAY, *sorted(self.gateways())]
        return {number: self.counted.of(number) for number in numbers}

    def epoch(self) -> int:
        return int(self._root["epoch"][0])

    def begin_epoch(self, epoch: int) -> None:
        """Samples are taken from here on as the packets before ask for; in epoch 0 none are."""
        self._root["epoch"][0] = epoch % 2**32

    # Frames

    def explain(self, frame: bytes, now_ns: int) -> Explanation:
        """What the explaining entry point says of `frame` as of `now_ns`; nothing is counted."""
        if len(frame) < SHORTEST_FRAME:
            return Explanation("other", drop=False, gateway=None, entry=None)
        table = self._tables[EXPLANATION]
        with self._explaining:
            table.write([(_FIRST, bytes(table.value(now=now_ns)))])
            self._run(self._fds.get(EXPLAIN) or self._load(EXPLAIN), frame)
            said = table.get(_FIRST)
        return Explanation(
            verdict=self.counted.verdict_words[said.verdict],
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

    def _load(self, entry: str) -> int:
        made = program(frags=self.frags)
        fds = {fd: self._fds[name] for fd, name in made.maps.items()}
        code = loader.over_maps(made.code[entry], fds)
        self._fds[entry] = loader.load(code, entry, frags=self.frags)
        return self._fds[entry]

    def _counters_before(self) -> list[BpfMap]:
        """Counters of smaller sets, which are pinned in this one under other names."""
        shape = program(frags=self.frags).shapes[pins.COUNTERS]
        fds: list[int] = []
        if self.adopted and self.pin_dir is not None:
            paths = pins.counters_before(self.pin_dir)
            wanted = (shape.type, sizeof(shape.key), shape.value_size, None, shape.flags)
            fds = [pins.open_shaped(path, wanted) for path in paths]
        elif self._after is not None:
            before = self._after.counted.maps[1 if self._shares(pins.COUNTERS) else 0 :]
            fds = [os.dup(table.fd) for table in before]
        tables = []
        for number, fd in enumerate(fds, 1):
            name = f"{pins.COUNTERS}-{number}"
            self._fds[name] = fd
            if self.pin_dir is not None and not self.adopted:
                pins.pin(fd, self.pin_dir / name)
            count = syscalls.map_info(fd).max_entries
            tables.append(BpfMap(name, fd, shape.key, shape.value, count))
        return tables

    def _shares(self, name: str) -> bool:
        """Whether it is the map of the set before."""
        same = self._after is not None and self._after.sizes.gateways == self.sizes.gateways
        return name == pins.SAMPLES or (name == pins.COUNTERS and same)

    def _table(self, name: str, shape: MapShape) -> BpfMap:
        """A new map, pinned where it has to be; or the one pinned there."""
        count = elements() if name == pins.SAMPLES else self.sizes.elements()[name]
        pin = self.pin_dir / name if self.pin_dir and name in pins.PINNED else None
        if pin is None or not self.adopted:
            if self._after is not None and self._shares(name):
                self._fds[name] = os.dup(self._after._tables[name].fd)
            else:
                self._fds[name] = loader.new_map(
                    name, shape.type, sizeof(shape.key), shape.value_size, count, shape.flags
                )
            if pin is not None:
                pins.pin(self._fds[name], pin)
        else:
            wanted = (shape.type, sizeof(shape.key), shape.value_size, count, shape.flags)
            self._fds[name] = pins.open_shaped(pin, wanted)
        return BpfMap(name, self._fds[name], shape.key, shape.value, count)
