"""What each case may cost, by series of kernels: tests/vm/cost-budgets.toml."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.vm.cost.case import Cost

SERIES = ("5.10", "7")  # the lowest, without the coarse clock, and the newest

FILE = Path("tests/vm/cost-budgets.toml")
COMMAND = ".venv/bin/python -m tests.vm.cost --write"

# Our own instructions are held exactly, and the kernel's within a tenth: a map of another kind,
# which would be our doing, costs more than that. Another release than that of the budgets may
# translate the same program otherwise, and may be cheaper as it likes.
KERNEL_SLACK = 10  # a tenth
RELEASE_SLACK = 4  # a fourth, and not less than this many instructions
RELEASE_LEAST = 24

_HEAD = f"""\
# Instructions for each case (tests/vm/cost/cases.py): those of the program itself, and
# those of the kernel's functions that it calls. Written by `{COMMAND}`.
"""


@dataclass(frozen=True, slots=True)
class Costs:
    """Those of all cases on one kernel."""

    release: str
    cases: dict[str, Cost]


def read(path: Path = FILE) -> dict[str, Costs]:
    """By series."""
    return {
        series: Costs(
            table["release"], {name: Cost(**cost) for name, cost in table["cases"].items()}
        )
        for series, table in tomllib.loads(path.read_text()).items()
    }


def write(budgets: Mapping[str, Costs], path: Path = FILE) -> None:
    lines = [_HEAD]
    for series, costs in budgets.items():
        lines += [f'["{series}"]', f'release = "{costs.release}"', "", f'["{series}".cases]']
        for name, cost in costs.cases.items():
            values = ", ".join(f"{part} = {count}" for part, count in asdict(cost).items())
            lines.append(f'"{name}" = {{ {values} }}')
        lines.append("")
    path.write_text("\n".join(lines))


def objection(budget: Costs, measured: Costs) -> str:
    """Empty where the costs are those of the budget; else what differs, and what to do."""
    exact = budget.release == measured.release
    over = [
        name
        for name, cost in measured.cases.items()
        if name not in budget.cases or _over(budget.cases[name], cost, exact)
    ]
    under = [
        name
        for name, cost in measured.cases.items()
        if exact and name not in over and _over(cost, budget.cases[name], exact)
    ]
    gone = [name for name in budget.cases if name not in measured.cases]
    parts = [
        *_table("These cost more than their budgets:", over, budget, measured),
        *_table("These cost less: lower the budgets.", under, budget, measured),
        *(["These have a budget and are no cases any more:", *gone] if gone else []),
    ]
    if not parts:
        return ""
    if not exact:
        parts.append(
            f"The budgets are from kernel {budget.release}; if the program is the same, it is "
            "the kernel that changed."
        )
    return "\n".join([f"Instructions on kernel {measured.release}.", *parts,
                      f"If that is meant: {COMMAND}"])  # fmt: skip


def _over(budget: Cost, cost: Cost, exact: bool) -> bool:
    if exact:
        most = Cost(budget.program, budget.kernel + budget.kernel // KERNEL_SLACK)
    else:
        most = Cost(_for_another_release(budget.program), _for_another_release(budget.kernel))
    return cost.program > most.program or cost.kernel > most.kernel


def _for_another_release(count: int) -> int:
    return count + max(RELEASE_LEAST, count // RELEASE_SLACK)


def _table(title: str, names: list[str], budget: Costs, measured: Costs) -> list[str]:
    if not names:
        return []
    width = max(len(name) for name in names)
    rows = [f"{'case':{width}}  program: budget measured        kernel: budget measured"]
    for name in names:
        old, new = budget.cases.get(name), measured.cases[name]
        if old is None:
            rows.append(
                f"{name:{width}}           none {new.program:8}                none {new.kernel:8}"
            )
            continue
        rows.append(
            f"{name:{width}}  {old.program:15} {new.program:8} {new.program - old.program:+6}"
            f" {old.kernel:15} {new.kernel:8} {new.kernel - old.kernel:+6}"
        )
    return [title, *rows]
