"""Lists as CSV (RFC 4180): for spreadsheets, whose cells are parted by commas or by semicolons as
the country has it. Neither way text begins a formula."""

import csv
import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from cli.client import Json
from cli.errors import UsageError
from cli.output import harmless, warn

AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, for a spreadsheet.")]

# What begins so is a formula to one spreadsheet or another, full width signs too; so is what stands
# after a semicolon where that parts cells, for there quotes that begin earlier count for nothing.
_FORMULA = re.compile(
    r"""^(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])|(?<=;)(?=[\s"]*[=+\-@\uff1d\uff0b\uff0d\uff20])"""
)


def one_form(*, as_json: bool, as_csv: bool) -> None:
    if as_json and as_csv:
        raise UsageError("--json and --csv: name one of them")


def show_csv(items: Iterable[Json], columns: Sequence[str]) -> None:
    """On stdout, as they come. A column is a field, or a field of a field: `covered.peer`."""
    out = csv.writer(sys.stdout, quoting=csv.QUOTE_NONNUMERIC)
    out.writerow(columns)
    for item in items:
        out.writerow([_cell(_field(item, column)) for column in columns])


def say_there_is_more(limit: int) -> None:
    """Beside a list that ends there."""
    warn(f"these are the first {limit:,}: --limit gives more")


def _field(item: Json, column: str) -> object:
    found: object = item
    for name in column.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _cell(value: object) -> str | int:
    """Text that begins like a formula has a ' before it, by which spreadsheets show it as it is;
    so has what is like one after a semicolon."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return value
        case list() if all(isinstance(each, str) for each in value):
            text = " ".join(value)
        case list() | dict():
            text = json.dumps(value)
        case _:
            text = str(value)
    return _FORMULA.sub("'", harmless(text))
