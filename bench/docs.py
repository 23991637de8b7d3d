"""python -m bench.docs: the last run's figures into docs/benchmarks.md and its picture."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from bench import document, musts
from bench.document import Document
from bench.lookup import STAGES, TRAFFIC
from bench.plot import svg
from bench.rows import Row

PAGE = Path("docs/benchmarks.md")
PICTURE = Path("docs/benchmarks.svg")
_BEGIN, _END = "<!-- bench: begin -->\n", "<!-- bench: end -->\n"


def main() -> int:
    try:
        measured = document.read()
    except FileNotFoundError:
        print(f"{document.FILE} is missing: run make bench", file=sys.stderr)
        return 2
    if not measured.complete:
        print(f"{document.FILE} is of a run that was not complete: run make bench", file=sys.stderr)
        return 2
    PAGE.write_text(with_figures(PAGE.read_text(), measured))
    PICTURE.write_text(svg(measured.rows))
    return 0


def with_figures(text: str, measured: Document) -> str:
    """The page with what is between its marks replaced."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{PAGE} lacks the marks {_BEGIN.strip()} and {_END.strip()}")
    return f"{before}{_BEGIN}{figures(measured)}{_END}{after}"


def figures(measured: Document) -> str:
    """Every table, and where they are from."""
    rows = measured.rows
    parts = [_machine(measured)]
    for title, lines in (
        ("What a packet costs", _lookup(rows)),
        ("A flood, beside other filters", _flood(rows)),
        ("The dearest stranger", _attack(rows)),
        ("The tables", _tables(rows)),
        ("A change, from the API to the packet", _propagation(rows)),
        ("What must hold", _musts(rows)),
    ):
        made = "\n".join(lines)
        if made:
            parts.append(f"### {title}\n\n{made}\n")
    return "\n" + "\n".join(parts) + "\n"


def _machine(measured: Document) -> str:
    machine = measured.machine
    caches = ", ".join(f"{name} {size}" for name, size in dict_of(machine["caches"]).items())
    versions = ", ".join(f"{name} {version}" for name, version in measured.versions.items())
    where = "a virtual machine" if machine["virtual"] else "no virtual machine"
    return (
        f"Run of {measured.date}, mode *{measured.mode}*, {measured.seconds} s: "
        f"{machine['cpu']}, {where} with {machine['cpus']} CPUs and {machine['memory_gib']} GiB "
        f"({caches}), load {machine['load']} before the run; Linux {measured.kernel}; "
        f"{versions}.\n"
    )


def dict_of(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}


def _table(head: Sequence[str], lines: Iterator[Sequence[object]]) -> Iterator[str]:
    """Markdown; the first column is text, the others are numbers. Nothing where no lines are."""
    filled = [f"| {' | '.join(map(str, cells))} |" for cells in lines]
    if filled:
        yield f"| {' | '.join(head)} |"
        yield "| --- |" + " ---: |" * (len(head) - 1)
        yield from filled


def _of(rows: Sequence[Row], bench: str) -> list[Row]:
    return [row for row in rows if row["bench"] == bench]


def _people(row: Row) -> str:
    return f"IPv{row['family']}, {int(str(row['registered'])):,}"


def _lookup(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each family and size; a cell is the ratio, and ns. What they are ratios to, and
    how much of that is the measurement's own, stands behind them."""
    kinds = (*TRAFFIC, *STAGES)
    cells: dict[str, dict[object, str]] = {}
    bases: dict[str, list[tuple[float, float]]] = {}
    for row in [*_of(rows, "lookup"), *_of(rows, "stage")]:
        cell = f"{row['ratio']:.3g} ({row['median_ns']:.0f} ns)"
        cells.setdefault(_people(row), {})[row["traffic"]] = cell
        base = float(str(row["parse_and_drop_ns"])), float(str(row["empty_ns"]))
        bases.setdefault(_people(row), []).append(base)
    yield from _table(
        ["registered", *kinds, "parse and drop", "of it the loop"],
        (
            [
                name,
                *(mine.get(traffic, "") for traffic in kinds),
                *(f"{median(each):.1f} ns" for each in zip(*bases[name], strict=True)),
            ]
            for name, mine in cells.items()
        ),
    )


def _flood(rows: Sequence[Row]) -> Iterator[str]:
    head = ["against", "its cost / peergate's", "its ns", "peergate's ns", "holds", "loaded in"]

    def lines() -> Iterator[Sequence[object]]:
        for row in _of(rows, "flood"):
            name = f"{_people(row)}: {row['against']}"
            if "missing" in row:
                yield [name, row["missing"], "", "", "", ""]
            else:
                yield [
                    name,
                    f"{row['ratio']:.3g}",
                    f"{row['median_ns']:.0f}",
                    f"{row['peergate_ns']:.0f}",
                    f"{row['holds']:,}",
                    f"{row['load_s']:.1f} s",
                ]

    yield from _table(head, lines())


def _attack(rows: Sequence[Row]) -> Iterator[str]:
    yield from _table(
        ["registered", "lengths beside it", "to an average one", "its ns", "an average one's"],
        (
            [
                _people(row),
                row["lengths"],
                f"{row['ratio']:.3g}",
                f"{row['median_ns']:.0f}",
                f"{row['average_ns']:.0f}",
            ]
            for row in _of(rows, "attack")
        ),
    )


def _tables(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each family and size: load, change and memory of the maps."""
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["bench"] == "load":
            cells.setdefault(_people(row), {})["load"] = f"{row['seconds']:.3g} s"
        elif row["bench"] == "change":
            name = str(row["change"])
            cells.setdefault(_people(row), {})[name] = f"{row['median_us']:.0f} us"
        elif row["bench"] == "memory" and "maps_mib" in row:
            cells.setdefault(_people(row), {})["memory"] = f"{row['maps_mib']} MiB"
    wanted = ("load", "write", "delete", "memory")
    yield from _table(
        ["registered", "load of all", "write one", "delete one", "memory of the maps"],
        ([name, *(mine.get(one, "") for one in wanted)] for name, mine in cells.items()),
    )


def _propagation(rows: Sequence[Row]) -> Iterator[str]:
    starts = {row["registered"]: f"{row['seconds']:.1f} s" for row in _of(rows, "start")}
    memory = {
        row["registered"]: f"{row['agent_mib']} MiB"
        for row in _of(rows, "memory")
        if "agent_mib" in row
    }

    def lines() -> Iterator[Sequence[object]]:
        for row in _of(rows, "propagation"):
            if "missing" in row:
                yield [_people(row), row["missing"], "", "", "", ""]
            else:
                yield [
                    f"{_people(row)}: {row['change']}",
                    *(f"{row[f'p{part}_ms']:.3g} ms" for part in (50, 90, 99)),
                    starts.get(row["registered"], ""),
                    memory.get(row["registered"], ""),
                ]

    yield from _table(["change", "p50", "p90", "p99", "agent's start", "agent's memory"], lines())


def _musts(rows: Sequence[Row]) -> Iterator[str]:
    yield from _table(
        ["must", "measured", "outcome"],
        (
            [one.must, "" if one.value is None else f"{one.value:.3g}", one.outcome]
            for one in musts.judge(rows)
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
