"""python -m tests.vm.cost.measure <cases >costs: instructions, in a machine that counts them.

There the nanoseconds of BPF_PROG_TEST_RUN are instructions. What the kernel's clock takes is
measured by a program that does nothing but read it.
"""

import json
import os
import random
import secrets
import struct
import sys
from dataclasses import asdict

from control import loader, syscalls
from control.dataplane import DataPlane
from control.sizes import Sizes
from tests.bpf.bench import Bench
from tests.vm.cost.case import Case, Cost, load_cases
from tests.vm.cost.policy import POLICY

# A hundred runs hide the one-off cost of a measurement (35 instructions) below one instruction.
# The timer's interrupts come in bursts: of 1,000 tries on kernel 7, as few as 60 in a hundred, and
# now and then none of nine in a row, took the least.
REPEAT, TRIES = 100, 100


class Meter:
    """The live program and its maps; what was measured once is not measured again."""

    def __init__(self, plane: DataPlane) -> None:
        self.plane = plane
        self._reading: int | None = None
        self._empty = self._probe()

    def cost(self, case: Case) -> Cost:
        whole = _fewest(self.plane.program_fd, case.frame) - self._empty
        kernel = len(case.calls) * self._time()
        return Cost(program=whole - kernel, kernel=kernel)

    def _time(self) -> int:
        """What one reading of the clock takes."""
        if self._reading is None:
            function = _COARSE_TIME if loader.has_coarse_clock() else _TIME
            self._reading = self._probe(function) - self._empty
        return self._reading

    def _probe(self, function: int | None = None) -> int:
        """What a program takes that makes one call or not, and ends."""
        call = b"" if function is None else _instruction(_CALL, value=function)
        fd = syscalls.load_xdp(call + _END, "probe")
        try:
            return _fewest(fd, b"\0" * 64)
        finally:
            os.close(fd)


def _fewest(fd: int, frame: bytes) -> int:
    return min(syscalls.time_run(fd, frame, REPEAT) for _ in range(TRIES))


def _instruction(operation: int, registers: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("=BBhi", operation, registers, offset, value)


_CALL, _SET, _EXIT = 0x85, 0xB7, 0x95
_TIME, _COARSE_TIME = 5, 160  # helpers
_END = _instruction(_SET) + _instruction(_EXIT)


def main() -> None:
    cases = load_cases(sys.stdin.read())
    # Which path a packet takes in the tables hangs on their secrets: always the same ones.
    same = random.Random(1)
    vars(secrets).update(token_bytes=same.randbytes, randbits=same.getrandbits)
    with DataPlane.offline(Sizes.room_for(65_536, 65_536, 4_096)) as plane:
        bench = Bench(plane)
        bench.hold(POLICY)
        for case in cases:
            said = bench.judge(case.frame)
            if said != case.outcome:
                raise SystemExit(f"{case.name}: {said}, not {case.outcome}")
        meter = Meter(plane)
        json.dump({case.name: asdict(meter.cost(case)) for case in cases}, sys.stdout)


if __name__ == "__main__":
    main()
