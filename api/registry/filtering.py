"""What a change of gateways does to whoever is not registered there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product

from api.records import Gateway
from api.registry.foreseen import GatewayChange
from api.registry.spans import Span, ahead
from policy.prefixes import Address
from policy.services import TCP, UDP, Service

# Of addresses and services so many are named.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Turn:
    """Services of one gateway at which strangers are dropped, now or later, and were not; and the
    other way round."""

    closing: frozenset[str]
    opening: frozenset[str]


@dataclass(frozen=True, slots=True)
class Turns:
    """By gateway. `gone`: nothing is dropped there any more, for the gateway is no longer one.
    `unknown` says what cannot be told of strangers, for nobody has seen it."""

    turns: Mapping[str, Turn]
    gone: frozenset[str]
    unknown: tuple[str, ...]


def turns_of(changes: Sequence[GatewayChange], now: datetime) -> Turns:
    givers = {claim for before, _ in changes if before is not None for claim in _claims(before)}
    takers = {
        claim: after.name for _, after in changes if after is not None for claim in _claims(after)
    }
    turns: dict[str, Turn] = {}
    gone: set[str] = set()
    unknown: list[str] = []
    for before, after in changes:
        if before is None:
            if after is not None and _span(after, now) and not givers.issuperset(_claims(after)):
                unknown.append(f"{after.name}: nobody has seen yet who talks to it")
            continue
        moving = {
            service
            for host, service in _claims(before)
            if takers.get((host, service), before.name) != before.name
        }
        turns[before.name] = _turn(before, after, moving, now)
        if after is None and not moving:
            gone.add(before.name)
        unknown += _unknown(before, after, moving, now)
    return Turns(turns, frozenset(gone), tuple(unknown))


def _claims(gateway: Gateway) -> Iterable[tuple[Address, Service]]:
    return product(gateway.spec.hosts, gateway.spec.offered)


def _turn(before: Gateway, after: Gateway | None, moving: set[Service], now: datetime) -> Turn:
    was, will = _span(before, now), None if after is None else _span(after, now)
    kept = _kept(before, after)
    closing: set[Service] = set()
    opening: set[Service] = set()
    for service in before.spec.offered:
        if service in moving:
            continue
        stays = after is not None and bool(kept) and service in after.spec.offered
        then = will if stays else None
        if not _within(then, was):
            closing.add(service)
        if not _within(was, then):
            opening.add(service)
    return Turn(_spelled(closing), _spelled(opening, among=before.spec.offered))


def _spelled(services: set[Service], among: Iterable[Service] | None = None) -> frozenset[str]:
    """As strangers have them. Later fragments show no port: they are judged while the address has
    any service of their protocol."""
    names = {str(service) for service in services}
    for protocol in (UDP, TCP):
        of = {service for service in among or () if service.protocol == protocol}
        if of <= services if of else any(each.protocol == protocol for each in services):
            names.add(f"proto/{protocol}")
    return frozenset(names)


def _unknown(
    before: Gateway, after: Gateway | None, moving: set[Service], now: datetime
) -> Iterable[str]:
    was, will = _span(before, now), None if after is None else _span(after, now)
    name, kept = before.name, _kept(before, after)
    if moving:
        what = _some(map(str, (each for each in before.spec.offered if each in moving)))
        yield f"{name}: {what} become another gateway's: who is registered there is not looked for"
    if after is None:
        return
    if was and kept and (left := [host for host in before.spec.hosts if host not in kept]):
        what = _some(map(str, left))
        yield f"{name}: whoever talks to {what} passes then, and is known by the gateway alone"
    fresh = [str(host) for host in after.spec.hosts if host not in kept]
    fresh += [str(each) for each in after.spec.offered if each not in before.spec.offered]
    if will and fresh:
        yield f"{name}: nobody has seen yet who talks to {_some(fresh)}"
    if (was or will) and before.spec.routers != after.spec.routers:
        yield f"{name}: other routers carry it then, and what these see is not looked at"


def _kept(before: Gateway, after: Gateway | None) -> frozenset[Address]:
    hosts = frozenset(before.spec.hosts)
    return hosts & frozenset(after.spec.hosts) if after is not None else frozenset()


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return ", ".join(every[:_NAMED]) + more


def _span(gateway: Gateway, now: datetime) -> Span | None:
    """When it drops."""
    window = gateway.spec.enforcement
    return None if window is None else ahead(window, now)


def _within(inner: Span | None, outer: Span | None) -> bool:
    if inner is None:
        return True
    return outer is not None and outer[0] <= inner[0] and inner[1] <= outer[1]
