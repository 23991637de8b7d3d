"""python -m tests.vm.cost: what the program costs, in instructions, beside its budgets."""

import argparse
import sys

from tests.vm.cost import budgets, document
from tests.vm.cost.run import measure
from tests.vm.kernels import KernelError, kernel
from tests.vm.machine import MachineError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.vm.cost", description=__doc__)
    parser.add_argument(
        "--write",
        action="store_true",
        help="make what was measured the budgets, and the docs' table",
    )
    said = parser.parse_args()
    try:
        measured = {series: measure(kernel(series)) for series in budgets.SERIES}
    except (KernelError, MachineError) as error:
        print(error, file=sys.stderr)
        return 2
    if said.write:
        budgets.write(measured)
        document.FILE.write_text(document.with_table(document.FILE.read_text(), measured))
        return 0
    print(document.table(measured))
    allowed = budgets.read()
    objections = [budgets.objection(allowed[series], measured[series]) for series in measured]
    print("\n\n".join(filter(None, objections)), file=sys.stderr)
    return int(any(objections))


if __name__ == "__main__":
    sys.exit(main())
