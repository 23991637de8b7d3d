"""What the tables cost to fill, to change and to keep, measured on the maps alone."""

import re
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.mode import Mode
from bench.population import Population
from bench.rows import Row, percentile
from bench.site import Router, router


def measure(mode: Mode, people: Population, filled: Router) -> Iterator[Row]:
    """Rows of `load`, `change` and `memory`."""
    yield _load(mode, people, filled)
    yield from _changes(mode, people, filled)
    size = sum(_memlock(fd) for fd in filled.plane._fds.values())
    yield _row("memory", people, maps_mib=round(size / 2**20, 1))


def _row(bench: str, people: Population, **figures: object) -> Row:
    return {"bench": bench, "family": people.family, "registered": len(people), **figures}


def _load(mode: Mode, people: Population, filled: Router) -> Row:
    """From columns in memory to empty maps; CPU time of the one thread that does it."""
    seconds = [filled.load_s]
    for _ in range(mode.loads - 1):
        with router(people) as another:
            seconds.append(another.load_s)
    return _row("load", people, seconds=round(statistics.median(seconds), 4), rounds=len(seconds))


def _changes(mode: Mode, people: Population, filled: Router) -> Iterator[Row]:
    """One registration deleted and written again, at a time; wall time."""
    spent: dict[str, list[float]] = {"delete": [], "write": []}
    step = max(1, len(people) // mode.changes)
    for at in range(0, len(people), step):
        one = filled.entries.only(np.array([at]))
        before = time.perf_counter_ns()
        filled.delete(one)
        between = time.perf_counter_ns()
        filled.write(one)
        spent["delete"].append(between - before)
        spent["write"].append(time.perf_counter_ns() - between)
    for change, ns in spent.items():
        yield _row(
            "change",
            people,
            change=change,
            median_us=round(statistics.median(ns) / 1e3, 1),
            p99_us=round(percentile(ns, 99) / 1e3, 1),
            rounds=len(ns),
        )


def _memlock(fd: int) -> int:
    """Bytes of the kernel's memory that a map or program has, by its own account."""
    said = re.search(r"^memlock:\s*(\d+)", Path(f"/proc/self/fdinfo/{fd}").read_text(), re.M)
    return int(said[1]) if said else 0
