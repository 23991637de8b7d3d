"""Tables and picture of a run."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import docs, document
from bench.document import Document
from bench.plot import svg
from bench.rows import Row

NAMES: Row = {"family": 4, "registered": 1000}
FIGURES: Row = {"median_ns": 40.0, "ratio": 2.0, "spread": 0.1}
BASE: Row = {"parse_and_drop_ns": 20.0, "empty_ns": 15.0}
ROWS: list[Row] = [
    {"bench": "lookup", **NAMES, "traffic": "registered", **FIGURES, **BASE},
    {"bench": "lookup", **NAMES, "traffic": "bystander", **FIGURES, **BASE, "empty_ns": 16.0},
    {"bench": "lookup", **NAMES, "registered": 100_000, "traffic": "registered", **FIGURES, **BASE},
    {"bench": "load", **NAMES, "seconds": 0.5},
    {"bench": "change", **NAMES, "change": "write", "median_us": 3.0},
    {"bench": "memory", **NAMES, "maps_mib": 21.1},
    {
        "bench": "flood",
        **NAMES,
        "against": "xdp-drop",
        **FIGURES,
        "ratio": 0.5,
        "peergate_ns": 80.0,
        "holds": 0,
        "load_s": 0.1,
    },
    {"bench": "flood", **NAMES, "against": "ipset", "missing": "it is not installed"},
    {"bench": "attack", **NAMES, **FIGURES, "lengths": 15, "average_ns": 20.0},
    {"bench": "start", **NAMES, "seconds": 2.0},
    {
        "bench": "propagation",
        **NAMES,
        "change": "approve",
        "p50_ms": 10.0,
        "p90_ms": 20.0,
        "p99_ms": 30.0,
    },
    {"bench": "memory", **NAMES, "agent_mib": 200},
    {"bench": "propagation", **NAMES, "registered": 100_000, "missing": "not in step"},
]


@pytest.fixture
def measured() -> Document:
    return Document(
        mode="quick",
        complete=True,
        date="2026-11-28",
        seconds=100,
        machine=document.machine(),
        kernel="6.1.0",
        versions=document.versions(),
        rows=ROWS,
    )


def test_the_file_reads_as_written(measured: Document, tmp_path: Path) -> None:
    file = tmp_path / "build" / "bench.json"
    document.write(measured, file)
    assert document.read(file) == measured


def test_every_row_has_its_place(measured: Document) -> None:
    text = docs.figures(measured)
    for line in (
        "| IPv4, 1,000 | 2 (40 ns) |  |  | 2 (40 ns) |  |  | 20.0 ns | 15.5 ns |",
        "| IPv4, 1,000: xdp-drop | 0.5 | 40 | 80 | 0 | 0.1 s |",
        "| IPv4, 1,000: ipset | it is not installed |  |  |  |  |",
        "| IPv4, 1,000 | 15 | 2 | 40 | 20 |",
        "| IPv4, 1,000 | 0.5 s | 3 us |  | 21.1 MiB |",
        "| IPv4, 1,000: approve | 10 ms | 20 ms | 30 ms | 2.0 s | 200 MiB |",
        "| IPv4, 100,000 | not in step |  |  |  |  |",
    ):
        assert line in text.splitlines()


def test_the_page_keeps_what_is_around_the_figures(measured: Document) -> None:
    page = "before\n<!-- bench: begin -->\nstale text\n<!-- bench: end -->\nafter\n"
    once = docs.with_figures(page, measured)
    assert once.startswith("before\n")
    assert once.endswith("<!-- bench: end -->\nafter\n")
    assert "stale text" not in once
    assert docs.with_figures(once, measured) == once
    with pytest.raises(ValueError, match="lacks the marks"):
        docs.with_figures("no marks", measured)


def test_the_page_in_the_repository_has_the_marks(measured: Document) -> None:
    assert docs.with_figures(docs.PAGE.read_text(), measured)


@pytest.mark.parametrize("rows", [ROWS, ROWS[:2], []])
def test_the_picture_is_xml(rows: list[Row]) -> None:
    ElementTree.fromstring(svg(rows))
