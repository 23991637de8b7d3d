"""What is wrong with a policy or a request, field by field."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One refused value: where it stands, what it is, and the rule that it breaks.

    `line` is that of a file of lines, from 1.
    """

    field: str
    value: str
    rule: str
    line: int | None = None

    def __str__(self) -> str:
        line = f"line {self.line}: " if self.line is not None else ""
        where = f"{self.field}: " if self.field else ""
        what = f"{self.value}: " if self.value else ""
        return f"{line}{where}{what}{self.rule}"


class PolicyError(Exception):
    """A policy is refused as a whole; `problems` says why."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
