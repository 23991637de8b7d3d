"""python -m bench.registry: measures, writes build/bench-registry.json, says which musts hold.

BENCH=quick takes less of everything. Exit status 1 with --check where a must is missed.
"""

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator
from importlib import metadata

from bench import document, musts
from bench.registry import measure
from bench.registry.docs import FILE, tables
from bench.registry.imports import imports
from bench.registry.measure import Database, Size
from bench.registry.musts import MUSTS
from bench.rows import Row
from lab.netns import LabError

PARTS = ("sqlite", "postgresql", "snapshot", "import")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.registry", description=__doc__)
    parser.add_argument("--check", action="store_true", help="a missed must is a failure")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone")
    said = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    size = measure.QUICK if os.environ.get("BENCH") == "quick" else measure.FULL
    try:
        rows = run(size, said.only or list(PARTS))
    except (LabError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    judged = list(musts.judge(rows, MUSTS))
    print("", *tables(rows), "", *judged, sep="\n")
    return int(said.check and any(one.outcome == "missed" for one in judged))


def run(size: Size, parts: list[str]) -> list[Row]:
    """All rows, which are in the file too; those until then, where it is broken off."""
    start, date = time.monotonic(), time.strftime("%Y-%m-%d", time.gmtime())
    machine, complete = document.machine(), False
    rows: list[Row] = []
    try:
        for row in _measured(size, parts):
            rows.append(row)
            print(f"{time.monotonic() - start:6.0f} s  {_line(row)}", flush=True)
        complete = set(parts) == set(PARTS)
    finally:
        document.write(
            document.Document(
                mode=size.name,
                complete=complete,
                date=date,
                seconds=round(time.monotonic() - start),
                machine=machine,
                kernel=os.uname().release,
                versions=_versions(),
                rows=rows,
            ),
            FILE,
        )
    return rows


def _measured(size: Size, parts: list[str]) -> Iterator[Row]:
    crowds: tuple[tuple[Database, int], ...] = (("sqlite", 1), ("postgresql", 2))
    for which, processes in crowds:
        if which in parts:
            yield from measure.measure(size, which, processes)
    if "snapshot" in parts:
        yield from measure.snapshots(size, "sqlite")
    if "import" in parts:
        yield from (imports(size, which) for which, _ in crowds)


def _versions() -> dict[str, str]:
    packages = ("peergate", "uvicorn", "fastapi", "sqlalchemy", "psycopg", "cryptography")
    return {"python": platform.python_version(), **{n: metadata.version(n) for n in packages}}


def _line(row: Row) -> str:
    names = ("bench", "database", "routers", "peers")
    head = " ".join(
        f"{row[name]:,}" if isinstance(row[name], int) else str(row[name])
        for name in names
        if name in row
    )
    return f"{head:36} " + " ".join(f"{k}={v}" for k, v in row.items() if k not in names)


if __name__ == "__main__":
    sys.exit(main())
