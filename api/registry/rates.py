"""Packets at gateways over time, made of what routers report: counters that only grow."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime

from api.rate_records import KEPT, MOST, Count, Counts, Rates
from api.records import Json, Report
from api.registry import gateways
from api.registry.core import Aside, Read, Registry, Write
from api.store import gateways as gateway_rows
from api.store import rates
from api.store.rates import Place

# The sum of all stands where a step without a length would.
_ALL = 0


def note(
    write: Write | Aside,
    before: Mapping[str, Report],
    reports: Iterable[Report],
    carried: Mapping[str, Collection[str]],
) -> None:
    """Adds what each router counted since its report before; of gateways that it does not carry
    it says nothing.

    What came since then is laid evenly over that time. Of a router's first report only the sum of
    all knows: nobody can tell when that came.
    """
    ids = gateway_rows.ids(write.connection)
    sums: defaultdict[Place, Count] = defaultdict(Count)
    for report in reports:
        last = before.get(report.router)
        shares = [] if last is None else list(_shares(last.received, report.received))
        for name in carried.get(report.router, ()):
            if (number := ids.get(name)) is None:
                continue
            for counter, grown in _growth(last, report, name):
                sums[Place(number, _ALL, 0, counter)] += grown
                for (seconds, start), begin, end in shares:
                    sums[Place(number, seconds, start, counter)] += grown.part(begin, end)
    rates.add(write.connection, {place: count for place, count in sums.items() if count.packets})


def _growth(last: Report | None, report: Report, name: str) -> Iterator[tuple[str, Count]]:
    """Of one gateway, each counter that grew, and by how much."""
    new: Json = report.content.get("counters", {}).get(name, {})
    old: Json = {} if last is None else last.content.get("counters", {}).get(name, {})
    if any(new[each]["packets"] < old[each]["packets"] for each in new.keys() & old.keys()):
        if last is not None and report.content["time"] < last.content["time"]:
            return  # it was on its way for longer than the one before
        old = {}  # they began anew
    for counter, count in new.items():
        had = old.get(counter, {"packets": 0, "bytes": 0})
        grown = Count(
            min(count["packets"] - had["packets"], MOST),
            min(max(count["bytes"] - had["bytes"], 0), MOST),
        )
        if grown.packets:
            yield counter, grown


def _shares(since: datetime, until: datetime) -> Iterator[tuple[tuple[int, int], float, float]]:
    """Each step that lies in this time, by its length and begin, and of that time its part, from
    0 to 1."""
    end = until.timestamp()
    for seconds, kept in KEPT.items():
        begin = max(since.timestamp(), end - kept.total_seconds())
        whole = end - begin
        if whole <= 0:
            yield (seconds, int(end // seconds) * seconds), 0.0, 1.0
            continue
        step = int(begin // seconds) * seconds
        while step < end:
            here, there = ((edge - begin) / whole for edge in (step, step + seconds))
            yield (seconds, step), max(here, 0.0), min(there, 1.0)
            step += seconds


def of(read: Read, name: str, seconds: int) -> Rates:
    """In steps of so many seconds, as far back as they are kept."""
    gateway = gateways.get(read, name)
    newest = int(read.now.timestamp() // seconds) * seconds
    first = newest - int(KEPT[seconds].total_seconds())
    found = rates.since(read.connection, gateway.id, seconds, first)
    total = rates.since(read.connection, gateway.id, _ALL, 0).get(0, {})
    steps: tuple[Counts, ...] = tuple(
        found.get(start, {}) for start in range(first, newest + 1, seconds)
    )
    return Rates(datetime.fromtimestamp(first, UTC), seconds, steps, total)


def forget(registry: Registry) -> None:
    """Steps that are older than they are kept for."""
    with registry.aside("peergate") as aside:
        for seconds, kept in KEPT.items():
            before = int((aside.now - kept).timestamp()) - seconds
            rates.forget(aside.connection, seconds, before)
