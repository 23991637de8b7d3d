"""Boots a machine that counts instructions, and has the cases measured in it."""

import json

from tests.vm.command import run
from tests.vm.cost.budgets import Costs
from tests.vm.cost.case import Case, Cost, dump_cases
from tests.vm.cost.cases import cases
from tests.vm.kernels import Kernel
from tests.vm.machine import Hardware, MachineError

_SECONDS = 600.0  # it takes 35 s of processor time

# To tell the coarse time, the kernel adds the nanoseconds of the wall clock and of its distance to
# the monotonic one, and takes four instructions more where they make a second: let the distance
# be 100 us, beside whole seconds.
_SET_CLOCK = """.venv/bin/python -c '
import time
second, distance = 10**9, 10**5
to = time.monotonic_ns() % second - distance
time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() // second * second + to)
'
"""


def measure(kernel: Kernel, wanted: list[Case] | None = None) -> Costs:
    """What the cases cost on that kernel. Raises MachineError."""
    text = dump_cases(cases() if wanted is None else wanted)
    meter = f"chrt -f 50 .venv/bin/python -m tests.vm.cost.measure <<'END'\n{text}\nEND"
    result = run(
        kernel, _SET_CLOCK + meter, hardware=Hardware(kernel, icount=True), seconds=_SECONDS
    )
    if result.status:
        raise MachineError(f"kernel {kernel.release}: nothing measured\n{result.output}")
    found = json.loads(result.output)
    return Costs(kernel.release, {name: Cost(**cost) for name, cost in found.items()})
