"""What is in force on this router, read from the pins, the links and the state directory.

No agent has to run, and nothing is changed.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from control import pins, state
from control.dataplane import DataPlane
from control.interfaces import InterfaceState, look
from control.lock import holder
from control.model import (
    Count,
    Tables,
)
from control.settings import Settings
from control.sizes import GATEWAYS_MAX
from policy.window import from_ns


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """One gateway in the maps. The windows are ns since 1970; the empty one is monitor mode."""

    name: str
    addresses: int
    sources: int
    enforce_from: int
    enforce_until: int
    enforces: bool
    counters: dict[str, Count]


@dataclass(frozen=True, slots=True)
class Status:
    """`now` is the maps' time. Without filled maps nothing is in force, and nothing is said."""

    router: str
    agent: int | None
    registry: str | None
    revision: int | None
    held: str | None
    interfaces: tuple[InterfaceState, ...]
    filled: bool
    now: datetime
    hosts: int
    prefixes: int
    gateways: tuple[GatewayStatus, ...]
    others: dict[str, Count]


def status(settings: Settings) -> Status:
    """Raises DataPlaneError: no privilege, or pins that are damaged."""
    programs = pins.Programs(settings.bpffs)
    interfaces = tuple(look(name, settings.attach, programs) for name in settings.interfaces)
    tables, counters, now = Tables(), dict[int, dict[str, Count]](), datetime.now(UTC)
    filled = False
    if pins.current(settings.bpffs) is not None:
        with DataPlane.current(settings.bpffs) as plane:
            tables, counters, now = plane.tables(), plane.counters(), _time_of(plane)
            assert plane.pin_dir is not None
            filled = state.is_filled(settings.state_dir, plane.pin_dir)
    done = state.applied(settings.state_dir) if filled else None
    entries = tables.entries.only(tables.entries.rows["key"]["gateway"] <= GATEWAYS_MAX)
    hosts4, prefixes4, hosts6, prefixes6 = entries.counts()
    return Status(
        router=settings.router,
        agent=holder(settings.state_dir),
        registry=None if done is None else done.registry,
        revision=None if done is None else done.revision,
        held=None if done is None else done.held,
        interfaces=interfaces,
        filled=filled,
        now=now,
        hosts=hosts4 + hosts6,
        prefixes=prefixes4 + prefixes6,
        gateways=_gateways(tables, counters, now),
        others=counters.get(0, {}),
    )


def _time_of(plane: DataPlane) -> datetime:
    """What the program takes for now; the wall clock, before an agent has set that."""
    offset = plane.clock()
    return from_ns(time.monotonic_ns() + offset) if offset else datetime.now(UTC)


def _gateways(
    tables: Tables, counters: dict[int, dict[str, Count]], now: datetime
) -> tuple[GatewayStatus, ...]:
    """The gateways that have addresses; the others are only remembered for their numbers."""
    addresses: dict[int, int] = {}
    for target in tables.targets.values():
        for number in {number for _, number in target.services}:
            addresses[number] = addresses.get(number, 0) + 1
    sources = np.bincount(tables.entries.rows["key"]["gateway"], minlength=GATEWAYS_MAX + 1)
    return tuple(
        GatewayStatus(
            name=row.name,
            addresses=addresses[number],
            sources=int(sources[number]),
            enforce_from=row.enforce_from,
            enforce_until=row.enforce_until,
            enforces=from_ns(row.enforce_from) <= now < from_ns(row.enforce_until),
            counters=counters.get(number, {}),
        )
        for number, row in sorted(tables.gateways.items(), key=lambda item: item[1].name)
        if number in addresses
    )
