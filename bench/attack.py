"""The dearest stranger: one who picks a source that has prefixes of each length beside it.

Live frames to peergate alone, as in the flood; those of picked sources and of average ones in
turns.
"""

import statistics
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np

from bench import flood, lookup, testrun
from bench.flood import Generator
from bench.mode import Mode
from bench.population import BITS, Addresses, Column, Population, first_of, joined
from bench.programs import WALK4, WALK6, Programs
from bench.rows import Row, ratio
from bench.site import router
from lab.netns import Namespace

PICKED = 32  # sources: what they touch stays in the CPU's first caches
SHORTEST = {4: 17, 6: 33}  # of what a head has, at the most


def measure(mode: Mode, programs: Programs, people: Population) -> Iterator[Row]:
    """A row of `attack`. Raises WrongVerdictError."""
    family, count = people.family, WALK4 if people.family == 4 else WALK6
    strangers = lookup.draw(people, "unregistered", count)
    picked = pick(people, strangers)
    crowd = crowded(people, picked)
    away = strangers.where(~np.isin(_heads(strangers), _heads(picked)))
    walks = {"average": _again(away, count), "picked": _again(picked, count)}
    costs: dict[str, list[float]] = {name: [] for name in walks}
    with testrun.on_one_cpu() as cpu, router(crowd) as filled, ExitStack() as stack:
        home = stack.enter_context(Namespace("bench-generator"))
        generator = Generator(programs, home, family, testrun.Softirqs(cpu))
        standing, _ = flood.stand(mode, stack, generator, crowd, filled, {})
        (peergate,) = (one for one in standing if one.name == flood.PEERGATE)
        for number in range(mode.flood_rounds):
            for name, walk in walks.items():
                programs.walk(walk.packed(), family)
                if number == 0:
                    flood.check_delivered(generator, peergate, name, 0)
                whole = flood.cost(mode, generator, peergate.interface, peergate.frame)
                making = flood.cost(mode, generator, 0, peergate.frame)
                costs[name].append(whole - making)
    figures = ratio(costs["picked"], costs["average"])
    yield {
        "bench": "attack",
        "family": family,
        "registered": len(people),
        "lengths": BITS[family] - SHORTEST[family],
        "median_ns": round(figures.median_ns, 1),
        "average_ns": round(statistics.median(costs["average"]), 1),
        "ratio": round(figures.ratio, 3),
        "spread": round(figures.spread, 3),
        "rounds": mode.flood_rounds,
    }


def pick(people: Population, strangers: Addresses) -> Addresses:
    """Of different heads, which have no prefixes yet."""
    taken = _heads(people.addresses.where(~people.is_host))
    free = strangers.where(~np.isin(_heads(strangers), taken))
    _, at = np.unique(_heads(free), return_index=True)
    return Addresses(people.family, free.high[at[:PICKED]], free.low[at[:PICKED]])


def crowded(people: Population, picked: Addresses) -> Population:
    """With prefixes of each length that differ from a picked source in their last bit alone."""
    family, bits = people.family, BITS[people.family]
    parts = [people]
    for length in range(SHORTEST[family], bits):
        last = 1 << bits - length
        high = picked.high ^ np.uint64(last >> 64)
        low = picked.low ^ np.uint64(last & (1 << 64) - 1)
        lengths = np.full(len(picked), length, np.uint8)
        parts.append(Population(first_of(Addresses(family, high, low), lengths), lengths))
    return joined(parts)


def _heads(addresses: Addresses) -> Column:
    heads: Column
    if addresses.family == 4:
        heads = addresses.low >> np.uint64(16)
    else:
        heads = addresses.high >> np.uint64(32)
    return heads


def _again(addresses: Addresses, count: int) -> Addresses:
    """From the first one on again, until there are so many."""
    return Addresses(
        addresses.family, np.resize(addresses.high, count), np.resize(addresses.low, count)
    )
