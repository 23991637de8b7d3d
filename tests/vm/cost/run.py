"""Boots a machine that counts instructions, and has the cases measured in it."""

import json

from tests.vm.command import run
from tests.vm.cost.budgets import Costs
from tests.vm.cost.case import Case, Cost, dump_cases
from tests.vm.cost.cases import cases
from tests.vm.kernels import Kernel
from tests.vm.machine import Hardware, MachineError

_SECONDS = 600.0  # it takes 35 s of processor time


def measure(kernel: Kernel, wanted: list[Case] | None = None) -> Costs:
    """What the cases cost on that kernel. Raises MachineError."""
    text = dump_cases(cases() if wanted is None else wanted)
    command = f"chrt -f 50 .venv/bin/python -m tests.vm.cost.measure <<'END'\n{text}\nEND"
    result = run(kernel, command, hardware=Hardware(kernel, icount=True), seconds=_SECONDS)
    if result.status:
        raise MachineError(f"kernel {kernel.release}: nothing measured\n{result.output}")
    found = json.loads(result.output)
    return Costs(kernel.release, {name: Cost(**cost) for name, cost in found.items()})
