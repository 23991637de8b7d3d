"""From an allowlist to the rows of the maps, and from rows to differences. Pure: no I/O."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from control.entries import Entries
from control.errors import DataPlaneError, MapFullError
from control.hashing import HOSTS4, HOSTS6
from control.model import (
    Allowlist,
    Difference,
    Gateway,
    GatewayRow,
    Tables,
    Target,
)
from control.peers import pairs_of
from control.resolve import timetable
from control.sizes import CLASSES, GATEWAYS_MAX, NUMBERS_MAX, Counts, Limits, Need, plus
from policy.prefixes import ADDRESSES_PER_ROUTER, Address
from policy.services import SERVICES_PER_ADDRESS, Service

K = TypeVar("K")
V = TypeVar("V")

# A change that removes more than a fifth of the sources, and this many, waits for confirmation.
GUARDED_REMOVAL = 100


def number_gateways(known: Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
    """Known gateways keep their numbers; new ones get the next never used, from 1."""
    numbers = {name: number for name, number in known.items() if number <= GATEWAYS_MAX}
    following = max(numbers.values(), default=0) + 1
    for name in names:
        if name not in numbers:
            numbers[name] = following
            following += 1
    return numbers


def number_groups(known: Mapping[str, int], sharing: Iterable[tuple[str, ...]]) -> dict[str, int]:
    """Known groups keep their numbers; new ones get those below, from the last number down."""
    numbers = {}
    free = iter(sorted(set(range(GATEWAYS_MAX + 1, NUMBERS_MAX + 1)) - set(known.values())))
    lowest = min((n for n in known.values() if n > GATEWAYS_MAX), default=NUMBERS_MAX + 1)
    for group in sorted(sharing):
        name = group_name(group)
        if name in known:
            numbers[name] = known[name]
        elif lowest - 1 > GATEWAYS_MAX:
            lowest -= 1
            numbers[name] = lowest
        elif (number := next(free, None)) is not None:
            numbers[name] = number
        else:
            raise DataPlaneError(
                f"more than {NUMBERS_MAX - GATEWAYS_MAX} groups of gateways share addresses: "
                "spread the gateways over more routers"
            )
    return numbers


def numbers_in(tables: Tables) -> dict[str, int]:
    """The numbers that the maps remember, also those of gateways now removed, and of groups."""
    numbers = {row.name: number for number, row in tables.gateways.items()}
    for target in tables.targets.values():
        if target.later > GATEWAYS_MAX and all(n in tables.gateways for n in target.gateways):
            names = (tables.gateways[number].name for number in target.gateways)
            numbers[group_name(names)] = target.later
    return numbers


def resolve(allowlist: Allowlist, known: Mapping[str, int], now: int) -> Tables:
    """The rows that hold `allowlist` at `now` (ns since 1970), gateways numbered after `known`."""
    made = layout(allowlist.gateways, known)
    times = timetable(pairs_of(allowlist.peers, made.numbers))
    return Tables(made.gateways, made.targets, times.at(now))


@dataclass(frozen=True, slots=True)
class Layout:
    """What is guarded, and at which numbers each gateway's sources stand: its own and groups'."""

    gateways: dict[int, GatewayRow] = field(default_factory=dict)
    targets: dict[Address, Target] = field(default_factory=dict)
    numbers: dict[str, tuple[int, ...]] = field(default_factory=dict)


def layout(gateways: Sequence[Gateway], known: Mapping[str, int]) -> Layout:
    """The gateways with their addresses, numbered after `known`. Raises DataPlaneError."""
    numbers = number_gateways(known, (gateway.name for gateway in gateways))
    # A removed gateway's row stays, with the empty window: its number is not used again.
    rows = {number: GatewayRow(name) for name, number in numbers.items()}
    services: dict[Address, list[tuple[Service, int]]] = defaultdict(list)
    for gateway in gateways:
        number = numbers[gateway.name]
        if gateway.enforce is not None:
            rows[number] = GatewayRow(
                gateway.name, gateway.enforce.start_ns, gateway.enforce.end_ns
            )
        for address in {address for block in gateway.addresses for address in block}:
            services[address] += ((service, number) for service in set(gateway.services))
    sharing = groups(gateways)
    group_numbers = number_groups(known, sharing)
    names = {number: name for name, number in numbers.items()}
    targets = {}
    for address, offered in services.items():
        target = Target(tuple(sorted(offered, key=_order)))
        if len(target.gateways) > 1:
            group = group_name(names[number] for number in target.gateways)
            target = replace(target, later=group_numbers[group])
        targets[address] = target
    # A group has the sources of all its gateways, resolved as if they were one gateway's.
    stands_at: dict[str, tuple[int, ...]] = {
        gateway.name: (numbers[gateway.name],) for gateway in gateways
    }
    for group_of in sharing:
        for name in group_of:
            stands_at[name] += (group_numbers[group_name(group_of)],)
    return Layout(rows, targets, stands_at)


def group_name(gateways: Iterable[str]) -> str:
    """What stands for several gateways among names; no gateway is called so."""
    return "\0".join(sorted(gateways))


def groups(gateways: Iterable[Gateway]) -> frozenset[tuple[str, ...]]:
    """The gateways that share an address, by name, for every address that is shared."""
    on: dict[Address, set[str]] = {}
    for gateway in gateways:
        for block in gateway.addresses:
            for address in block:
                on.setdefault(address, set()).add(gateway.name)
    return frozenset(tuple(sorted(names)) for names in on.values() if len(names) > 1)


def _order(offer: tuple[Service, int]) -> tuple[int, int, int]:
    service, number = offer
    return service.protocol, service.port or 0, number


def difference(actual: Tables, wanted: Tables) -> Difference:
    """What to write and to delete so that `actual` becomes `wanted`."""
    return Difference(
        write=Tables(
            gateways=_changed(actual.gateways, wanted.gateways),
            targets=_changed(actual.targets, wanted.targets),
            entries=wanted.entries.changed_from(actual.entries),
        ),
        delete=Tables(
            gateways=_without(actual.gateways, wanted.gateways),
            targets=_without(actual.targets, wanted.targets),
            entries=actual.entries.without(wanted.entries),
        ),
    )


def _changed(actual: Mapping[K, V], wanted: Mapping[K, V]) -> dict[K, V]:
    return {key: value for key, value in wanted.items() if actual.get(key) != value}


def _without(actual: Mapping[K, V], wanted: Mapping[K, V]) -> dict[K, V]:
    return {key: value for key, value in actual.items() if key not in wanted}


def need_of(tables: Tables, beside: Counts = (0, 0, 0, 0)) -> Need:
    """What tables have to be large enough for, with so many entries beside."""
    return Need(
        plus(tables.entries.counts(), beside),
        len(tables.targets),
        max(tables.gateways, default=0),
    )


def check_room(tables: Tables, limits: Limits, beside: Counts = (0, 0, 0, 0)) -> None:
    """Raise MapFullError or DataPlaneError where this is more than may be held."""
    need = need_of(tables, beside)
    for kind, (name, count) in enumerate(zip(CLASSES, need.entries, strict=True)):
        hosts = kind in (HOSTS4, HOSTS6)
        most = limits.max_hosts if hosts else limits.max_prefixes
        if count > most:
            raise MapFullError(name, most, count, "max_hosts" if hosts else "max_prefixes")
    if need.gateways > limits.max_gateways:
        raise MapFullError("gateways", limits.max_gateways, need.gateways, "max_gateways")
    if len(tables.targets) > ADDRESSES_PER_ROUTER:
        raise DataPlaneError(
            f"{len(tables.targets)} gateway addresses: a router carries at most "
            f"{ADDRESSES_PER_ROUTER}; spread the gateways over more routers"
        )
    for address, target in tables.targets.items():
        if len(target.services) > SERVICES_PER_ADDRESS:
            raise DataPlaneError(
                f"{len(target.services)} services at {address}: an address has at most "
                f"{SERVICES_PER_ADDRESS}; take some off its gateways"
            )


def living(entries: Entries, now: int) -> NDArray[np.bool_]:
    """Which entries, of gateways' own, pass at `now` or will later."""
    rows = entries.rows
    alive: NDArray[np.bool_] = rows["valid_until"] > np.uint64(max(now, 0))
    return alive & (rows["key"]["gateway"] <= GATEWAYS_MAX)


def cut_off(old: Entries, new: Entries, now: int) -> int:
    """How many sources the change cuts off.

    Of the sources that pass at `now` or will later, those count that are gone
    or over in `new`, or that pass now and would no longer.
    """
    moment = np.uint64(max(now, 0))
    at, known = new.find(old.keys_sorted)
    cut = ~known
    if known.any():
        after = new.rows["valid_from"][at]
        cut |= new.rows["valid_until"][at] <= moment
        cut |= (old.rows["valid_from"] <= moment) & (moment < after)
    return int((cut & living(old, now)).sum())


def is_too_much(cut: int, of: int) -> bool:
    """Whether a change that cuts off so many has to wait (DESIGN.md, promise 6)."""
    return cut >= GUARDED_REMOVAL and cut * 5 > of
