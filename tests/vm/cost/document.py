"""The table of docs/benchmarks.md, made from the budgets."""

from collections.abc import Mapping
from pathlib import Path

from tests.vm.cost.budgets import Costs

FILE = Path("docs/benchmarks.md")

_BEGIN, _END = "<!-- cost: begin -->\n", "<!-- cost: end -->\n"


def with_table(text: str, budgets: Mapping[str, Costs]) -> str:
    """The document with its table replaced."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{table(budgets)}{_END}{after}"


def table(budgets: Mapping[str, Costs]) -> str:
    """A row a case, of both families where it has both; cells are program + kernel."""
    columns = [(costs, family) for costs in budgets.values() for family in ("IPv4", "IPv6")]
    heads = [f"{costs.release.removesuffix('-amd64')}, {f}" for costs, f in columns]
    lines = [" | ".join(["| case", *heads]) + " |", "| --- |" + " ---: |" * len(heads)]
    names = dict.fromkeys(_split(name)[0] for costs in budgets.values() for name in costs.cases)
    for name in names:
        lines.append(" | ".join([f"| {name}", *(_cell(*c, name) for c in columns)]) + " |")
    return "\n".join(lines) + "\n"


def _cell(costs: Costs, family: str, wanted: str) -> str:
    for name, cost in costs.cases.items():
        if _split(name) in ((wanted, family), (wanted, "")):
            return f"{cost.program} + {cost.kernel}"
    return ""


def _split(name: str) -> tuple[str, str]:
    """Case and family."""
    case, comma, family = name.rpartition(", IPv")
    return (case, f"IPv{family}") if comma else (name, "")
