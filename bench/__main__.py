"""python -m bench: measures, writes build/bench.json, and says what of the musts holds.

BENCH=quick takes less of everything. Exit status 1 with --check where a must that was measured
is missed; 2 where nothing could be measured, or a program judged wrongly.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence

from bench import (
    attack,
    document,
    flood,
    lookup,
    maps,
    mode,
    musts,
    population,
    propagation,
    testrun,
)
from bench.lookup import WrongVerdictError
from bench.mode import Mode
from bench.programs import Programs, loaded
from bench.rows import Row
from bench.site import router
from control.errors import DataPlaneError
from lab.netns import LabError

PARTS = ("lookup", "maps", "flood", "attack", "propagation")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--check", action="store_true", help="a missed must is a failure")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone")
    said = parser.parse_args()
    # What was made is removed then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        how = mode.chosen(os.environ)
        rows = run(how, said.only or PARTS)
    except (DataPlaneError, LabError, OSError, ValueError, WrongVerdictError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    judged = list(musts.judge(rows))
    print("", *judged, sep="\n")
    return int(said.check and any(one.outcome == "missed" for one in judged))


def run(how: Mode, parts: Sequence[str]) -> list[Row]:
    """All rows, which are in the file too; those until then, where it is broken off."""
    if os.geteuid() != 0:
        raise OSError("it loads BPF programs and makes network namespaces: run it as root")
    start, date = time.monotonic(), time.strftime("%Y-%m-%d", time.gmtime())
    machine, complete = document.machine(), False
    rows: list[Row] = []
    try:
        for row in _measured(how, parts):
            rows.append(row)
            print(f"{time.monotonic() - start:6.0f} s  {_line(row)}", flush=True)
        complete = set(parts) == set(PARTS)
    finally:
        document.write(
            document.Document(
                mode=how.name,
                complete=complete,
                date=date,
                seconds=round(time.monotonic() - start),
                machine=machine,
                kernel=os.uname().release,
                versions=document.versions(),
                rows=rows,
            )
        )
    return rows


def _measured(how: Mode, parts: Sequence[str]) -> Iterator[Row]:
    everywhere = {"lookup", "maps"} & set(parts)
    with loaded() as programs:
        for family, registered in how.filled():
            if everywhere or ("flood" in parts and (family, registered) in how.flood_sizes):
                yield from _filled(how, parts, programs, family, registered)
        if "attack" in parts:
            for family, registered in how.flood_sizes:
                yield from attack.measure(how, programs, population.populate(family, registered))
    if "propagation" in parts:
        for registered in how.propagation_sizes:
            yield from propagation.measure(how, registered)


def _filled(
    how: Mode, parts: Sequence[str], programs: Programs, family: int, registered: int
) -> Iterator[Row]:
    """What is measured of one set of maps."""
    people = population.populate(family, registered)
    with testrun.on_one_cpu(), router(people) as filled:
        if "lookup" in parts:
            yield from lookup.measure(how, programs, people, filled)
        if "maps" in parts:
            yield from maps.measure(how, people, filled)
        if "flood" in parts and (family, registered) in how.flood_sizes:
            yield from flood.measure(how, programs, people, filled)


def _line(row: Row) -> str:
    names = ("bench", "family", "registered", "traffic", "against", "change")
    head = " ".join(str(row[name]) for name in names if name in row)
    return f"{head:48} " + " ".join(f"{k}={v}" for k, v in row.items() if k not in names)


if __name__ == "__main__":
    sys.exit(main())
