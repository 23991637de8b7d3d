"""The routers that carry a gateway, and what each of them has in force there."""

from dataclasses import dataclass

from api.records import Gateway, Point
from api.registry.assigned import Assignments
from api.registry.core import Read, Write
from api.registry.standing import Standing, standings
from api.store import log, routers
from policy.document import GatewaySpec


@dataclass(frozen=True, slots=True)
class Carrier:
    """A router that carries the gateway.

    `there`: how the gateway is in force on it, by its latest report; None: it is not, as far as is
    known. `has_it`: it is with its addresses and services of now, and the router counts packets
    there, so it knows who knocks. `would_drop`, by verdict: how many packets it would have dropped
    there since its counters began.
    """

    standing: Standing
    there: Gateway | None
    has_it: bool
    would_drop: dict[str, int]

    @property
    def name(self) -> str:
        return self.standing.router.name


def carriers_of(state: Read | Write, gateway: Gateway) -> tuple[Carrier, ...]:
    """By name. Of a change, before it touches anything."""
    # Of a change nobody else is to see what it may undo.
    known = state.assignments if isinstance(state, Read) else Assignments()
    assigned = known.at(state.connection, state.head, state.head.revision)
    carrying = [
        router
        for router in routers.every(state.connection)
        if gateway.name in assigned.view(router.name, router.labels).gateways
    ]
    states: dict[Point, Gateway | None] = {}

    def there(standing: Standing) -> Gateway | None:
        """A gateway of this name that was removed is another one."""
        point = _in_force(state, known, gateway, standing)
        if point is None:
            return None
        if point not in states:
            states[point] = log.gateway_at(state.connection, point, gateway)
        then = states[point]
        return then if then is not None and then.id == gateway.id else None

    return tuple(_carrier(each, gateway, there(each)) for each in standings(state, carrying))


def offer(spec: GatewaySpec) -> tuple[object, ...]:
    """What packets are looked at for its sake."""
    return spec.addresses, spec.services


def carried(spec: GatewaySpec) -> tuple[object, ...]:
    """The same, and on which routers."""
    return *offer(spec), spec.routers


def _in_force(
    state: Read | Write, known: Assignments, gateway: Gateway, standing: Standing
) -> Point | None:
    """The state of the allowlist that a router has, where that is known and a gateway of this name
    is in it."""
    report, head, router = standing.report, state.head, standing.router
    # What came before the registry was lifted may be of another history.
    if report is None or not max(head.floor, head.lifted) <= report.revision <= head.revision:
        return None
    then = known.at(state.connection, head, report.revision)
    view = then.view(router.name, router.labels)
    return view.point if gateway.name in view.gateways else None


def _carrier(standing: Standing, gateway: Gateway, there: Gateway | None) -> Carrier:
    # A router goes on counting for gateways that it had once.
    counted = {} if standing.report is None else standing.report.content["counters"]
    counters = counted.get(gateway.name, {})
    would_drop = {
        verdict: counters[f"{verdict}_pass"]["packets"]
        for verdict in ("unregistered", "expired", "malformed")
        if f"{verdict}_pass" in counters
    }
    same = there is not None and offer(there.spec) == offer(gateway.spec)
    return Carrier(standing, there, same and gateway.name in counted, would_drop)
