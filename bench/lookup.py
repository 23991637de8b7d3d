"""What one packet costs in the kernel, by BPF_PROG_TEST_RUN, another source each time.

In each round the production program runs between two runs of `parse and drop`, over packets of
one kind; before each timed run, more of them fill the caches.
"""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench import population, testrun
from bench.mode import Mode
from bench.population import Addresses, Population, covered
from bench.programs import WALK4, WALK6, Programs
from bench.rows import Row, ratio
from bench.site import Router, frame

TRAFFIC = ("registered", "unregistered", "unregistered-inside", "bystander")
# Where a stranger's time goes: these end at earlier stages of the same way, `other` at the first,
# before bystanders; `unprotected` has all of its headers read, and no source looked up.
STAGES = ("unprotected", "other")
COUNTER = {
    "registered": (1, "registered_pass"),
    "unregistered": (1, "unregistered_drop"),
    "unregistered-inside": (1, "unregistered_drop"),
    "bystander": (0, "bystander_pass"),
    "unprotected": (1, "unprotected_pass"),
    "other": (0, "other_pass"),
}
WARM_UP = 200_000
LEAST = 50_000
CHECKED = 500_000


class WrongVerdictError(Exception):
    """The program does not say of the packets what it should: no figure of it means anything."""


@dataclass(frozen=True, slots=True)
class Case:
    """Packets of one kind, judged by one filled program."""

    family: int
    traffic: str
    frame: bytes
    walk_fd: int


def measure(mode: Mode, programs: Programs, people: Population, filled: Router) -> Iterator[Row]:
    """Rows of `lookup` and `stage`. Raises WrongVerdictError."""
    for traffic in (*TRAFFIC, *STAGES):
        case = prepare(programs, people, traffic)
        check(programs, case, filled)
        costs = _rounds(programs, case, filled, mode)
        figures = ratio(costs["peergate"], costs["parse"])
        yield {
            "bench": "lookup" if traffic in TRAFFIC else "stage",
            "family": people.family,
            "registered": len(people),
            "traffic": traffic,
            "median_ns": round(figures.median_ns, 2),
            "parse_and_drop_ns": round(figures.base_ns, 2),
            "empty_ns": round(statistics.median(costs["empty"]), 2),
            "ratio": round(figures.ratio, 3),
            "spread": round(figures.spread, 3),
            "rounds": mode.rounds,
        }


def prepare(programs: Programs, people: Population, traffic: str) -> Case:
    """Put these packets' addresses into the walk."""
    family = people.family
    addresses = draw(people, traffic, WALK4 if family == 4 else WALK6)
    programs.walk(addresses.packed(), family)
    what = "destinations" if traffic == "bystander" else "sources"
    return Case(family, traffic, frame(family, traffic), programs.fds[f"walk_{what}{family}"])


def draw(people: Population, traffic: str, count: int) -> Addresses:
    """As many addresses, to come from or, of bystanders, to go to."""
    kinds = (*TRAFFIC, *STAGES)
    rng = np.random.default_rng([2, people.family, len(people), kinds.index(traffic)])
    if traffic == "registered":
        return population.registered(people, count, rng)
    if traffic in ("bystander", *STAGES):
        return population.anywhere(people.family, count, rng)
    kind = population.neighbours if traffic == "unregistered-inside" else None
    parts: list[Addresses] = []
    while sum(map(len, parts)) < count:
        drawn = kind(people, count, rng) if kind else population.anywhere(people.family, count, rng)
        parts.append(drawn.where(~covered(people, drawn)))
    return Addresses(
        people.family,
        np.concatenate([part.high for part in parts])[:count],
        np.concatenate([part.low for part in parts])[:count],
    )


def check(programs: Programs, case: Case, filled: Router, count: int = CHECKED) -> None:
    """Every packet must be counted under its verdict. Raises WrongVerdictError."""
    programs.measure(filled.plane.program_fd)
    programs.restart()
    before = filled.counters()
    testrun.run(case.walk_fd, case.frame, count)
    after = filled.counters()
    added = {name: after[name] - before.get(name, 0) for name in after}
    counted = {name: packets for name, packets in added.items() if packets}
    if counted != {COUNTER[case.traffic]: count}:
        raise WrongVerdictError(
            f"of {count} packets {case.traffic}, IPv{case.family}, these were counted: {counted}"
        )


def _rounds(programs: Programs, case: Case, filled: Router, mode: Mode) -> dict[str, list[float]]:
    """ns for a packet by program and round; `parse` is the mean of before and after."""
    costs: dict[str, list[float]] = {"peergate": [], "parse": [], "empty": []}
    parse = programs.fds["parse_and_drop"]
    for _ in range(mode.rounds):
        before = _cost(programs, case, parse, mode.timed_ns)
        costs["peergate"].append(_cost(programs, case, filled.plane.program_fd, mode.timed_ns))
        after = _cost(programs, case, parse, mode.timed_ns)
        costs["parse"].append((before + after) / 2)
        costs["empty"].append(_cost(programs, case, programs.fds["drop"], mode.timed_ns))
    return costs


def _cost(programs: Programs, case: Case, fd: int, timed_ns: int) -> float:
    programs.measure(fd)
    warm = testrun.run(case.walk_fd, case.frame, WARM_UP)
    return testrun.run(case.walk_fd, case.frame, max(LEAST, int(timed_ns / warm)))
