"""What people and scripts see: tables, one-line complaints, JSON. Values are made harmless."""

import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

# Where no terminal tells its width, tables are not squeezed into 80 columns.
_PIPE_WIDTH = 200

# Of a time's second, people need no fraction.
_FRACTION = re.compile(r"(?<=^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+(?=Z$)")

_STYLES = {
    "active": "green",
    "approved": "green",
    "pending": "yellow",
    "expired": "red",
    "rejected": "red",
    "revoked": "red",
    "enforce": "bold",
    "registered": "green",
    "unregistered": "red",
    "malformed": "red",
    "drop": "red",
    "pass": "green",
}


def harmless(value: object) -> str:
    """`value` as text that no terminal takes for a command: control characters spelled out."""
    return "".join(map(_spelled, str(value)))


def _spelled(char: str) -> str:
    if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def cell(value: object) -> Text:
    """A value as a table shows it; Text takes no markup. Words of ours have their colour."""
    if value is None or value == "":
        return Text("-", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, Text):
        return value
    if isinstance(value, int):
        return Text(f"{value:,}")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return Text("\n").join(cell(each) for each in value) if value else cell(None)
    text = whole(harmless(value))
    return Text(text, style=_STYLES.get(text, ""))


def whole(moment: str) -> str:
    """A time without a fraction of a second."""
    return _FRACTION.sub("", moment)


def console(*, stderr: bool = False) -> Console:
    """A console on what stdout or stderr is now."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=False, emoji=False, markup=False)
    if not made.is_terminal and made.width < _PIPE_WIDTH:
        made.width = _PIPE_WIDTH
    return made


def show(*what: RenderableType) -> None:
    """Print for people, on stdout."""
    console().print(*what, soft_wrap=all(isinstance(each, Text) for each in what))


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None
) -> Table:
    """A table of harmless cells. A column whose name starts with # holds numbers."""
    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for column in columns:
        number = column.startswith("#")
        made.add_column(
            column.removeprefix("#"), justify="right" if number else "left", overflow="fold"
        )
    for row in rows:
        made.add_row(*map(cell, row))
    return made


def details(fields: Mapping[str, object]) -> Text:
    """One thing: a name and a value a line; a list takes several."""
    width = max(map(len, fields), default=0)
    lines = []
    for name, value in fields.items():
        values = value if isinstance(value, list | tuple) and value else [value]
        for number, each in enumerate(values):
            label = Text(f"{'' if number else name:<{width}}  ", style="dim")
            lines.append(label.append_text(cell(each)))
    return Text("\n").join(lines)


def show_json(document: object) -> None:
    """One JSON document on stdout. Beyond ASCII all is escaped, terminal commands with it."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def show_json_line(document: object, *, at_once: bool = False) -> None:
    """One JSON document on one line of stdout; `at_once` for somebody who watches."""
    sys.stdout.write(json.dumps(document) + "\n")
    if at_once:
        sys.stdout.flush()


def note(message: str) -> None:
    """What was done, on stdout, as one line."""
    show(Text(harmless(message)))


def warn(message: str) -> None:
    """Something to know, on stderr, without failing."""
    console(stderr=True).print(
        Text(f"warning: {harmless(message)}", style="yellow"), soft_wrap=True
    )


def complain(message: str, details: Sequence[str] = ()) -> None:
    """Why the command failed: one line on stderr; several problems take a line each."""
    if len(details) == 1:
        message, details = f"{message}: {details[0]}", ()
    to = console(stderr=True)
    to.print(Text.assemble(("peergate: ", "bold red"), harmless(message)), soft_wrap=True)
    for each in details:
        to.print(Text(f"  {harmless(each)}"), soft_wrap=True)


def ask(question: str) -> bool:
    """Ask on the terminal; no is the answer that Enter gives."""
    console(stderr=True).print(Text(f"{harmless(question)} [y/N] "), end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def interactive() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()
