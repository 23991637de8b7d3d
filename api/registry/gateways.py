"""Gateways: added, changed, removed; two never claim the same (address, service)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from pydantic import ValidationError

from api.errors import ConflictError, NotFoundError, RefusedError
from api.event_types import EventType
from api.records import Gateway, Peer
from api.registry import cutovers
from api.registry.core import Expected, Read, Write
from api.store import gateways, peers
from policy.document import GatewaySpec, Mode, problems_of
from policy.errors import Problem
from policy.offers import offer_problems
from policy.services import warning


def get(state: Read | Write, name: str) -> Gateway:
    gateway = gateways.find(state.connection, name)
    if gateway is None:
        raise NotFoundError(f"there is no gateway {name!r}")
    return gateway


def page(
    read: Read, after: str, limit: int, *, prefix: str = "", mode: Mode | None = None
) -> tuple[Gateway, ...]:
    return gateways.page(read.connection, after, limit, prefix, mode)


def warnings(*specs: GatewaySpec) -> tuple[str, ...]:
    """What an operator should know of these gateways' services, each once."""
    found = (
        f"{spec.name}: {service}: {text}"
        for spec in specs
        for service in spec.offered
        if (text := warning(service)) is not None
    )
    return tuple(dict.fromkeys(found))


def create(write: Write, spec: GatewaySpec) -> Gateway:
    if gateways.find(write.connection, spec.name) is not None:
        taken = Problem("name", spec.name, "a gateway has this name already")
        raise ConflictError("the name is taken", "name-taken", (taken,))
    _check_against_others(write, spec)
    return add(write, spec)


def change(write: Write, name: str, expected: Expected, fields: Mapping[str, object]) -> Gateway:
    """`fields` holds what changes, in the words of the policy document."""
    before = get(write, name)
    expected.check(before.version, f"gateway {name!r}")
    try:
        spec = GatewaySpec.model_validate(before.spec.model_dump(mode="json") | dict(fields))
    except ValidationError as error:
        raise RefusedError("the gateway would be wrong", "", problems_of(error)) from None
    if spec != before.spec:
        cutovers.check_edit(write, before, spec)
        _check_against_others(write, spec)
        return save(write, before, spec)
    return before


def add(write: Write, spec: GatewaySpec) -> Gateway:
    """Writes a new one, whose name and offer are free."""
    gateways.add(write.connection, spec, write.now)
    write.touch_gateway(spec.name, None)
    after = get(write, spec.name)
    write.record("gateway.add", f"gateway/{spec.name}", None, after)
    write.tell(EventType.GATEWAY_ADDED, spec.name, spec.model_dump(mode="json"))
    return after


def save(write: Write, before: Gateway, spec: GatewaySpec) -> Gateway:
    """Writes what changed of one. Where that is when it enforces, a cut-over ends with it."""
    cutovers.edited(write, before, spec)
    gateways.change(write.connection, before, spec, write.now)
    write.touch_gateway(spec.name, before)
    after = get(write, spec.name)
    write.record("gateway.change", f"gateway/{spec.name}", before, after)
    was, is_ = before.spec.model_dump(mode="json"), spec.model_dump(mode="json")
    fields = [name for name, value in is_.items() if value != was[name]]
    write.tell(EventType.GATEWAY_CHANGED, spec.name, {"fields": fields, "mode": spec.mode})
    return after


def revive(write: Write, gateway: Gateway) -> Gateway:
    """One that was removed, as it was. Its name and its offer must be free."""
    gateways.revive(write.connection, gateway, write.now)
    write.touch_gateway(gateway.name, None)
    after = get(write, gateway.name)
    write.record("gateway.add", f"gateway/{gateway.name}", None, after)
    write.tell(EventType.GATEWAY_ADDED, gateway.name, after.spec.model_dump(mode="json"))
    return after


def remove(write: Write, name: str, expected: Expected) -> None:
    gateway = get(write, name)
    expected.check(gateway.version, f"gateway {name!r}")
    check_unused(write, gateway)
    cutovers.removed(write, gateway)
    gateways.remove(write.connection, gateway, write.now)
    write.touch_gateway(name, gateway)
    write.record("gateway.remove", f"gateway/{name}", gateway, None)
    write.tell(EventType.GATEWAY_REMOVED, name)


def check_unused(state: Read | Write, gateway: Gateway, going: int = 0) -> None:
    """Raises ConflictError where more peers are at it than are `going`."""
    live = peers.count_live_at(state.connection, gateway) - going
    if live:
        raise ConflictError(
            f"gateway {gateway.name!r} has {live} peers that are pending or approved: "
            "reject or revoke them first",
            "gateway-in-use",
        )


def waited_at(waiting: Iterable[Peer]) -> ConflictError:
    """What a policy is told that removes a gateway at which these are pending."""
    named = sorted(f"{peer.id} ({peer.name} at {peer.gateway})" for peer in waiting)
    return ConflictError(
        f"the policy removes gateways at which peers are pending: {', '.join(named[:10])}. "
        "Reject them first, or keep the gateway",
        "gateway-in-use",
    )


def _check_against_others(write: Write, spec: GatewaySpec) -> None:
    every = gateways.every(write.connection)
    others = [other.spec.offer for other in every if other.name != spec.name]
    problems = offer_problems([*others, spec.offer])
    if problems:
        # The new one is last, so what is wrong stands at its index.
        own = f"gateways[{len(others)}]."
        raise ConflictError(
            "the gateway does not go with the others",
            "gateways-clash",
            tuple(replace(p, field=p.field.removeprefix(own)) for p in problems),
        )
