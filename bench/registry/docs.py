"""python -m bench.registry.docs: the last run's figures into docs/benchmarks.md."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import document, musts
from bench.document import Document
from bench.registry.musts import MUSTS
from bench.rows import Row

FILE = Path("build/bench-registry.json")
PAGE = Path("docs/benchmarks.md")
_BEGIN, _END = "<!-- bench-registry: begin -->\n", "<!-- bench-registry: end -->\n"
_TITLES = {
    "fanout": "A change, from the API's call to the routers",
    "restart": "All API processes killed, and back",
    "snapshot": "A snapshot",
    "import": "Very many peers, in and out",
}


def main() -> int:
    try:
        measured = document.read(FILE)
    except FileNotFoundError:
        print(f"{FILE} is missing: run make bench-registry", file=sys.stderr)
        return 2
    before, begin, rest = PAGE.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{PAGE} lacks the marks {_BEGIN.strip()} and {_END.strip()}")
    PAGE.write_text(f"{before}{_BEGIN}{figures(measured)}{_END}{after}")
    return 0


def figures(measured: Document) -> str:
    """Every table, and where they are from."""
    machine, judged = measured.machine, musts.judge(measured.rows, MUSTS)
    lines = [
        "",
        f"{measured.date}, a {measured.mode} run of {measured.seconds} s: {machine['cpu']}, "
        f"{machine['cpus']} CPUs, {machine['memory_gib']} GiB, Linux {measured.kernel}; load at "
        f"the start {machine['load']}.",
        "",
        *tables(measured.rows),
        "What must hold:",
        "",
        *(f"- {one.outcome}: {one.must} ({one.value})" for one in judged),
        "",
    ]
    return "\n".join(lines) + "\n"


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """In Markdown, one for each kind of row: a figure in a line, a measurement in a column."""
    for kind in dict.fromkeys(str(row["bench"]) for row in rows):
        some = [row for row in rows if row["bench"] == kind]
        yield f"### {_TITLES[kind]}"
        yield ""
        yield "| | " + " | ".join(str(row["database"]) for row in some) + " |"
        yield "| --- |" + " ---: |" * len(some)
        for name in (name for name in some[0] if name not in ("bench", "database")):
            yield f"| {name} | " + " | ".join(_shown(row[name]) for row in some) + " |"
        yield ""


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    sys.exit(main())
