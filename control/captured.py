"""Packets off the program itself, while somebody captures, with what became of each.

Another program is put in place of the usual one: it writes down what is wanted, and goes on with
the usual one, which is as it was. bpf/capture.h is the counterpart that writes.
"""

import os
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ctypes import sizeof
from dataclasses import dataclass

from control import lease, links, loader, pins, syscalls
from control.arrays import in_order, open_array, settle
from control.columns import Rows
from control.dataplane import DataPlane
from control.errors import DataPlaneError, LinkError
from control.program import CAPTURE, CAPTURED, CAPTURING, USUAL, MapShape, Program, program
from control.rows import number_key
from control.samples import possible_cpus
from control.settings import Settings

RING = 64  # PG_CAPTURED
ELEMENTS = RING + 1
MOST_BYTES = 2048  # PG_CAPTURED_BYTES
# Longer than any pause between two reads: then nobody reads any more.
_GOES_ON_NS = 2 * 10**9
# Seconds for whoever captures to put the usual program back himself.
_PUTTING_BACK = 2.0
_FIRST = number_key(0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """`gateway` is its number, 0 any; `verdicts` are their places in enum pg_verdict."""

    gateway: int
    verdicts: frozenset[int]
    bytes: int


@dataclass(frozen=True, slots=True)
class Captured:
    """One packet: `time` in ns since 1970, `length` of the frame, of which `data` is there."""

    time: int
    interface: int
    gateway: int
    verdict: str
    drop: bool
    length: int
    data: bytes


class Reader:
    """Gives each packet once. While it is asked often enough, the program goes on."""

    def __init__(
        self, program: int, control: Rows, captured: Rows, words: Sequence[str], clock: int
    ) -> None:
        """The program's id and its two maps, the verdicts' words, and what makes UTC of the
        monotonic clock."""
        self.program = program
        self._control = control
        self._rings = captured.reshape(-1, ELEMENTS)
        self._cpus = list(possible_cpus())
        self._words = words
        self._clock = clock
        self._read = dict.fromkeys(self._cpus, 0)

    def go_on(self) -> None:
        self._control["until"][0] = time.monotonic_ns() + _GOES_ON_NS
        self._control["epoch"][0] += 1

    def read(self) -> list[Captured]:
        """In the order of their time."""
        found: list[Captured] = []
        for cpu in self._cpus:
            ring = self._rings[cpu]
            head = int(ring[0]["sequence"])
            settle()
            for sequence in range(self._read[cpu] + 1, head + 1):
                found.append(self._captured(ring[1 + sequence % RING]))
            self._read[cpu] = head
        in_order()
        self.go_on()
        return sorted(found, key=lambda each: each.time)

    @property
    def missed(self) -> int:
        """Packets that were wanted and came faster than they are taken."""
        return int(self._rings[self._cpus, 0]["missed"].sum())

    def _captured(self, row: Rows) -> Captured:
        return Captured(
            time=int(row["time"]) + self._clock,
            interface=int(row["interface"]),
            gateway=int(row["gateway"]),
            verdict=self._words[int(row["verdict"])],
            drop=bool(row["drop"]),
            length=int(row["length"]),
            data=row["data"][: int(row["bytes"])].tobytes(),
        )


@contextmanager
def capturing(
    settings: Settings, plane: DataPlane, wanted: Wanted, until: float
) -> Iterator[Reader]:
    """The capturing program sits on the interfaces to the end of the block, or `until` in seconds
    of CLOCK_MONOTONIC.

    A lease keeps the agent from putting its own back. It ends with this process, or then, and the
    agent does; two seconds later the kernel writes nothing down any more, agent or not.
    """
    programs = pins.Programs(settings.bpffs)
    attach = settings.attach
    usual = _usual(settings, programs)
    with ExitStack() as stack:
        fd, descriptors = load(plane, stack)
        ours = links.program_id(fd)
        usual_fd = programs.open(usual)
        stack.callback(os.close, usual_fd)
        try:
            syscalls.update(descriptors[USUAL], _FIRST, struct.pack("=I", usual_fd))
        except OSError as error:
            raise DataPlaneError(
                f"program {usual} cannot be gone on with: {error.strerror}; restart the agent, so "
                "that it is of this version"
            ) from None
        control, captured = (
            open_array(name, descriptors[name], _shapes(plane)[name].value, count).rows
            for name, count in ((CAPTURING, 1), (CAPTURED, _elements()))
        )
        control["gateway"][0] = wanted.gateway
        control["verdicts"][0] = sum(1 << number for number in wanted.verdicts)
        control["bytes"][0] = min(wanted.bytes, MOST_BYTES)
        reader = Reader(ours, control, captured, plane.counted.verdict_words, _clock(plane))
        reader.go_on()
        # Before anything of it is kept: who is refused leaves nothing.
        stack.enter_context(lease.held(settings.state_dir, ours, until + _PUTTING_BACK))
        stack.callback(_let_go, settings, programs, usual_fd, ours, plane.frags)
        programs.keep(fd)
        for name in settings.interfaces:
            if links.attachment(name).programs == ((attach, usual),):
                links.ensure_attached(name, fd, attach, programs, frags=plane.frags)
        yield reader


def load(plane: DataPlane, stack: ExitStack) -> tuple[int, dict[str, int]]:
    """The capturing program over the maps of a plane, and their descriptors by name."""
    made = program(frags=plane.frags, capture=True)
    descriptors = _maps(made, plane, stack)
    fds = {fd: descriptors[name] for fd, name in made.maps.items()}
    fd = loader.load(loader.over_maps(made.code[CAPTURE], fds), CAPTURE, frags=plane.frags)
    stack.callback(os.close, fd)
    return fd, descriptors


def _shapes(plane: DataPlane) -> dict[str, MapShape]:
    return program(frags=plane.frags, capture=True).shapes


def is_there(settings: Settings, wanted: int) -> bool:
    """Whether a program still sits on one of the interfaces."""
    found = (links.attachment(name) for name in settings.interfaces if links.exists(name))
    return any(number == wanted for each in found for _, number in each.programs)


def _usual(settings: Settings, programs: pins.Programs) -> int:
    """The program that the agent has attached. Raises LinkError."""
    for name in settings.interfaces:
        if links.exists(name):
            for attach, number in links.attachment(name).programs:
                if attach == settings.attach and programs.is_ours(number):
                    return number
    raise LinkError(
        "the program sits on none of the configured interfaces: start the agent, `peergate status`"
    )


def _let_go(
    settings: Settings, programs: pins.Programs, usual_fd: int, ours: int, frags: bool
) -> None:
    """Put the usual program back where ours is; the agent may have done so already."""
    for name in settings.interfaces:
        if links.exists(name) and any(n == ours for _, n in links.attachment(name).programs):
            links.ensure_attached(name, usual_fd, settings.attach, programs, frags=frags)
    attached = {number for each in links.attachments() for _, number in each.programs}
    programs.drop(attached | {links.program_id(usual_fd)})


def _maps(made: Program, plane: DataPlane, stack: ExitStack) -> dict[str, int]:
    """Descriptors by name: of the maps in force, and of new ones of the capture's own."""
    found = {}
    for name in made.maps.values():
        if name in pins.PINNED:
            found[name] = plane.descriptor(name)
            continue
        shape = made.shapes[name]
        count = _elements() if name == CAPTURED else 1
        sizes = sizeof(shape.key), shape.value_size
        found[name] = loader.new_map(name, shape.type, *sizes, count, shape.flags)
        stack.callback(os.close, found[name])
    return found


def _elements() -> int:
    return (possible_cpus()[-1] + 1) * ELEMENTS


def _clock(plane: DataPlane) -> int:
    offset = plane.clock()
    return offset if offset else time.time_ns() - time.monotonic_ns()
