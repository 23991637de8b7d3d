"""python -m tests.vm.cost.measure <cases >costs: instructions, in a machine that counts them.

There the nanoseconds of BPF_PROG_TEST_RUN are instructions. What the kernel's functions take
is measured by programs that do nothing but call them, with the case's own keys and maps.
"""

import json
import os
import struct
import sys
from dataclasses import asdict
from ipaddress import ip_address

from control import loader, syscalls
from control.dataplane import DataPlane
from control.model import Sizes
from control.rows import address_key, number_key
from tests.bpf.bench import Bench
from tests.vm.cost.case import Case, Cost, load_cases
from tests.vm.cost.policy import POLICY

# A hundred runs hide the one-off cost of a measurement (35 instructions) below one
# instruction; of five, at least one was not interrupted.
REPEAT, TRIES = 100, 5


class Meter:
    """The live program and its maps; what was measured once is not measured again."""

    def __init__(self, plane: DataPlane) -> None:
        self.plane = plane
        self._seen: dict[tuple[str, bytes], int] = {}
        self._empty = self._probe()

    def cost(self, case: Case) -> Cost:
        whole = _fewest(self.plane.program_fd, case.frame) - self._empty
        kernel = sum(self._of_call(call, case) for call in case.calls)
        return Cost(program=whole - kernel, kernel=kernel)

    def _of_call(self, call: str, case: Case) -> int:
        """What one call takes, beyond what its arguments do."""
        key = b"" if call == "time" else self._key(call, case)
        if (call, key) not in self._seen:
            if call == "time":
                ready, function = b"", _COARSE_TIME if loader.has_coarse_clock() else _TIME
            else:
                ready, function = _point_at(self.plane._tables[call].fd, key), _LOOKUP
            self._seen[call, key] = self._probe(ready, function) - self._probe(ready)
        return self._seen[call, key]

    def _key(self, table: str, case: Case) -> bytes:
        """What the program looks for in the map."""
        address = self.plane._tables["addresses"].key
        if table == "addresses":
            return address_key(address, ip_address(case.destination))
        number = case.outcome.gateway or 0
        if table == "gateways":
            return number_key(number)
        host = number.to_bytes(4, "big") + address_key(address, ip_address(case.source))
        return host if table == "hosts" else struct.pack("=I", 8 * len(host)) + host

    def _probe(self, ready: bytes = b"", function: int | None = None) -> int:
        """What a program takes that makes ready for one call, makes it or not, and ends."""
        call = b"" if function is None else _instruction(_CALL, value=function)
        fd = syscalls.load_xdp(ready + call + _END, "probe")
        try:
            return _fewest(fd, b"\0" * 64)
        finally:
            os.close(fd)


def _fewest(fd: int, frame: bytes) -> int:
    return min(syscalls.time_run(fd, frame, REPEAT) for _ in range(TRIES))


def _point_at(map_fd: int, key: bytes) -> bytes:
    """Instructions: the first argument is the map, the second the key, laid on the stack."""
    words = struct.unpack(f"={len(key) // 4}i", key)
    below = -8 * ((len(key) + 7) // 8)
    stored = [
        _instruction(_STORE_WORD, _R10, offset=below + 4 * at, value=word)
        for at, word in enumerate(words)
    ]
    return b"".join([
        *stored,
        _instruction(_LOAD_64, _R1 | _MAP_BY_FD << 4, value=map_fd),
        _instruction(0),
        _instruction(_MOVE, _R2 | _R10 << 4),
        _instruction(_ADD, _R2, value=below),
    ])  # fmt: skip


def _instruction(operation: int, registers: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("=BBhi", operation, registers, offset, value)


_LOAD_64, _STORE_WORD, _MOVE, _ADD, _CALL, _SET, _EXIT = 0x18, 0x62, 0xBF, 0x07, 0x85, 0xB7, 0x95
_R1, _R2, _R10, _MAP_BY_FD = 1, 2, 10, 1
_LOOKUP, _TIME, _COARSE_TIME = 1, 5, 160  # helpers
_END = _instruction(_SET) + _instruction(_EXIT)


def main() -> None:
    cases = load_cases(sys.stdin.read())
    with DataPlane.offline(Sizes()) as plane:
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
