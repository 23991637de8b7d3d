"""What routers say of strangers: taken once each, and beside the changes."""

import time
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Lock

from api.errors import ConflictError, RefusedError
from api.registry import routers
from api.registry.core import Read, Registry
from api.registry.permissions import Caller
from api.store import gateways, strangers
from api.stranger_records import Observed, StrangerReport
from policy.errors import Problem
from policy.window import rfc3339

# How long a stranger is kept that is not seen any more.
KEPT_FOR = timedelta(days=30)
# What a router's clock may be ahead by: one further ahead would shut itself out later.
_AHEAD = timedelta(minutes=5)
# So many are written in one transaction: the registry's changes come in between.
_BATCH = 500


class StrangerReports:
    """Of one process; `per_gateway` and `altogether` are how many strangers are kept."""

    def __init__(self, registry: Registry, per_gateway: int, altogether: int) -> None:
        self._registry = registry
        self._per_gateway = per_gateway
        self._altogether = altogether
        self._turn = Lock()

    def take(self, caller: Caller, name: str, report: StrangerReport) -> None:
        """An interval that ends no later than the last one of this router is passed over, and so
        is whatever is about a gateway that the router does not carry.

        Where a part was taken when this failed, the same report takes the rest.
        """
        routers.check_own(caller, name)
        with self._registry.read() as read:
            if report.registry != read.head.registry:
                raise ConflictError(
                    f"this registry is {read.head.registry}, these are strangers seen for "
                    f"{report.registry}",
                    "other-registry",
                )
            _check_clock(read, report.until)
            carried = _carried(read, name)
            newest = min(report.until, read.now)
        told = strangers.in_order(
            [
                (carried[each.gateway], _until(each, newest))
                for each in report.strangers
                if each.gateway in carried
            ]
        )
        totals = {carried[g]: total for g, total in report.gateways.items() if g in carried}
        with self._registry.aside(caller.name) as aside:
            new, first = strangers.begin(aside.connection, name, report.until, len(told))
            if new:
                strangers.count_packets(aside.connection, report.until, totals)
        if first is None:
            return
        for start in range(first, len(told), _BATCH):
            end = start + _BATCH
            with self._in_turn(), self._registry.aside(caller.name) as aside:
                after = end if end < len(told) else None
                if not strangers.advance(aside.connection, name, report.until, start, after):
                    return  # the same report, sent twice at once
                strangers.add(aside.connection, name, report.since, told[start:end])
        for gateway_id in dict.fromkeys(number for number, _ in told):
            self._trim(caller, gateway_id, self._per_gateway)
        self._trim(caller, None, self._altogether)

    def _trim(self, caller: Caller, gateway_id: int | None, most: int) -> None:
        left = True
        while left:
            with self._in_turn(), self._registry.aside(caller.name) as aside:
                left = strangers.trim(aside.connection, gateway_id, most, 2 * _BATCH)

    def _in_turn(self) -> "_Turn":
        return _Turn(self._turn)


class _Turn:
    """One after the other, and as long a pause as it took: changes come in between, also those of
    other processes, which on SQLite do not queue."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._begun = 0.0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        try:
            time.sleep(time.monotonic() - self._begun)
        finally:
            self._lock.release()


def forget(registry: Registry) -> None:
    """Strangers that were not seen for long, and those of gateways that are gone."""
    more = True
    while more:
        with registry.aside("peergate") as aside:
            before = aside.now - KEPT_FOR
            more = strangers.forget(aside.connection, before, 2 * _BATCH)


def _until(seen: Observed, newest: datetime) -> Observed:
    """Nobody is seen in the future."""
    if seen.last_seen <= newest:
        return seen
    return replace(seen, first_seen=min(seen.first_seen, newest), last_seen=newest)


def _carried(read: Read, name: str) -> dict[str, int]:
    """Names and ids of the gateways that the router carries."""
    router = routers.get(read, name)
    assigned = read.assignments.at(read.connection, read.head, read.head.revision)
    seen = assigned.view(name, router.labels).gateways
    there = gateways.ids(read.connection)
    return {gateway: number for gateway, number in there.items() if gateway in seen}


def _check_clock(read: Read, until: datetime) -> None:
    if until > read.now + _AHEAD:
        rule = (
            f"this is still to come, by this registry's clock, which has {rfc3339(read.now)}: set "
            "the router's clock right (timedatectl set-ntp true, or start chrony)"
        )
        raise RefusedError("nothing is taken", "", (Problem("until", str(rfc3339(until)), rule),))
