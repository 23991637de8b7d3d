"""Instructions for each verdict are those of tests/vm/cost-budgets.toml: none more, none less."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.vm.cost import budgets, document
from tests.vm.cost.budgets import Costs, objection
from tests.vm.cost.case import Cost
from tests.vm.cost.run import measure
from tests.vm.kernels import kernel

BUDGET = Costs("6.1.0-1-amd64", {"bystander, IPv4": Cost(100, 200), "other: ARP": Cost(50, 0)})


@pytest.mark.timeout(660)
@pytest.mark.parametrize("budgeted", budgets.SERIES)
def test_cost(budgeted: str) -> None:
    said = objection(budgets.read()[budgeted], measure(kernel(budgeted)))
    assert not said, f"\n{said}"


def test_the_documentation_has_these_figures() -> None:
    text = document.FILE.read_text()
    assert text == document.with_table(text, budgets.read()), f"run {budgets.COMMAND}"


def costs(program: int, kernel: int, release: str = BUDGET.release) -> Costs:
    return Costs(release, BUDGET.cases | {"bystander, IPv4": Cost(program, kernel)})


@pytest.mark.parametrize(("program", "kernel"), [(100, 200), (100, 220), (100, 182)])
def test_within_budget(program: int, kernel: int) -> None:
    assert objection(BUDGET, costs(program, kernel)) == ""


@pytest.mark.parametrize(("program", "kernel"), [(101, 200), (101, 150), (100, 221)])
def test_above_budget(program: int, kernel: int) -> None:
    said = objection(BUDGET, costs(program, kernel))
    assert "These cost more" in said
    assert "bystander, IPv4" in said
    assert "other" not in said
    assert said.endswith(f"If that is meant: {budgets.COMMAND}")


@pytest.mark.parametrize(("program", "kernel"), [(99, 200), (100, 181)])
def test_below_budget(program: int, kernel: int) -> None:
    assert "These cost less: lower the budgets." in objection(BUDGET, costs(program, kernel))


def test_another_release_may_differ_a_little() -> None:
    assert objection(BUDGET, costs(125, 250, "6.1.0-2-amd64")) == ""
    assert objection(BUDGET, costs(50, 100, "6.1.0-2-amd64")) == ""
    said = objection(BUDGET, costs(126, 200, "6.1.0-2-amd64"))
    assert "from kernel 6.1.0-1-amd64" in said


def test_cases_and_budgets_are_the_same_ones() -> None:
    fewer = replace(BUDGET, cases={"other: ARP": Cost(50, 0)})
    assert "bystander, IPv4" in objection(fewer, BUDGET)
    assert "no cases any more:\nbystander, IPv4" in objection(BUDGET, fewer)


def test_the_file_reads_as_written(tmp_path: Path) -> None:
    path = tmp_path / "budgets.toml"
    budgets.write({"6.1": BUDGET}, path)
    assert budgets.read(path) == {"6.1": BUDGET}
