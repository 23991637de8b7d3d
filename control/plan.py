"""From an allowlist to the rows of the maps, and from rows to differences. Pure: no I/O."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from control.errors import DataPlaneError, MapFullError
from control.hashing import HOSTS4, HOSTS6
from control.model import (
    GATEWAYS_MAX,
    NUMBERS_MAX,
    Allowlist,
    Difference,
    Entry,
    GatewayRow,
    Tables,
    Target,
)
from control.resolve import Timetable, group_name, groups, timetable
from control.rows import class_of
from control.sizes import CLASSES, Limits, Need
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
    return tables_at(allowlist, timetable_of(allowlist), known, now)


def timetable_of(allowlist: Allowlist) -> Timetable:
    return timetable(allowlist.peers, groups(allowlist.gateways))


def tables_at(allowlist: Allowlist, times: Timetable, known: Mapping[str, int], now: int) -> Tables:
    """As `resolve`, with the timetable of the allowlist's peers made already."""
    numbers = number_gateways(known, (gateway.name for gateway in allowlist.gateways))
    # A removed gateway's row stays, with the empty window: its number is not used again.
    rows = {number: GatewayRow(name) for name, number in numbers.items()}
    services: dict[Address, list[tuple[Service, int]]] = defaultdict(list)
    for gateway in allowlist.gateways:
        number = numbers[gateway.name]
        if gateway.enforce is not None:
            rows[number] = GatewayRow(
                gateway.name, gateway.enforce.start_ns, gateway.enforce.end_ns
            )
        for address in {address for block in gateway.addresses for address in block}:
            services[address] += ((service, number) for service in set(gateway.services))
    sharing = number_groups(known, groups(allowlist.gateways))
    names = {number: name for name, number in numbers.items()}
    targets = {}
    for address, offered in services.items():
        target = Target(tuple(sorted(offered, key=_order)))
        if len(target.gateways) > 1:
            group = group_name(names[number] for number in target.gateways)
            target = replace(target, later=sharing[group])
        targets[address] = target
    return Tables(gateways=rows, targets=targets, entries=times.entries(numbers | sharing, now))


def _order(offer: tuple[Service, int]) -> tuple[int, int, int]:
    service, number = offer
    return service.protocol, service.port or 0, number


def difference(actual: Tables, wanted: Tables) -> Difference:
    """What to write and to delete so that `actual` becomes `wanted`."""
    return Difference(
        write=Tables(
            gateways=_changed(actual.gateways, wanted.gateways),
            targets=_changed(actual.targets, wanted.targets),
            entries=_changed(actual.entries, wanted.entries),
        ),
        delete_gateways=tuple(actual.gateways.keys() - wanted.gateways.keys()),
        delete_targets=tuple(actual.targets.keys() - wanted.targets.keys()),
        delete_entries=tuple(actual.entries.keys() - wanted.entries.keys()),
    )


def _changed(actual: Mapping[K, V], wanted: Mapping[K, V]) -> dict[K, V]:
    return {key: value for key, value in wanted.items() if actual.get(key) != value}


def rows_in(change: Difference) -> int:
    """How many rows a difference writes or deletes."""
    return (
        len(change.write.gateways)
        + len(change.write.targets)
        + len(change.write.entries)
        + len(change.delete_gateways)
        + len(change.delete_targets)
        + len(change.delete_entries)
    )


def need_of(tables: Tables) -> Need:
    """What tables have to be large enough for."""
    counts = [0] * len(CLASSES)
    for _, source in tables.entries:
        counts[class_of(source)] += 1
    hosts4, prefixes4, hosts6, prefixes6 = counts
    return Need(
        (hosts4, prefixes4, hosts6, prefixes6),
        len(tables.targets),
        max(tables.gateways, default=0),
    )


def check_room(tables: Tables, limits: Limits) -> None:
    """Raise MapFullError or DataPlaneError where `tables` are more than may be held."""
    need = need_of(tables)
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


def sources_cut_off(old: Tables, new: Tables, now: int) -> tuple[int, int]:
    """How many sources the change cuts off, and of how many.

    Of the sources that pass at `now` or will later, those count that are gone
    or over in `new`, or that pass now and would no longer.
    """
    living = {
        key: entry
        for key, entry in old.entries.items()
        if entry.valid_until > now and key[0] <= GATEWAYS_MAX
    }
    cut = sum(_worse(entry, new.entries.get(key), now) for key, entry in living.items())
    return cut, len(living)


def _worse(before: Entry, after: Entry | None, now: int) -> bool:
    if after is None or after.valid_until <= now:
        return True
    return before.valid_from <= now < after.valid_from


def removes_too_much(old: Tables, new: Tables, now: int) -> bool:
    """Whether the change has to wait for confirmation (DESIGN.md, promise 6)."""
    cut, of = sources_cut_off(old, new, now)
    return cut >= GUARDED_REMOVAL and cut * 5 > of
