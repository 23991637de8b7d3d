"""How the cut-over of a gateway stands, what time makes of it, and what else ends it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from api.cutover_records import UNDER_WAY, Cutover, CutoverState
from api.errors import ConflictError
from api.event_types import EventType
from api.records import Gateway, Json
from api.registry.core import Read, Write
from api.registry.trail import plain
from api.store import cutovers
from policy.document import GatewaySpec
from policy.window import rfc3339

_WINDOW = ("mode", "enforce_from", "enforce_until")
# What becomes of one, in the words of the audit trail and of the events.
_TOLD = {
    CutoverState.PLANNED: ("cutover.plan", EventType.CUTOVER_PLANNED),
    CutoverState.SWITCHED: ("cutover.switch", EventType.CUTOVER_SWITCHED),
    CutoverState.CONFIRMED: ("cutover.confirm", EventType.CUTOVER_CONFIRMED),
    CutoverState.LAPSED: ("cutover.lapse", EventType.CUTOVER_LAPSED),
    CutoverState.RETURNED: ("cutover.return", EventType.CUTOVER_RETURNED),
    CutoverState.CANCELLED: ("cutover.cancel", EventType.CUTOVER_CANCELLED),
}

# What one becomes that something else overtakes.
_OVERTAKEN = {
    CutoverState.PLANNED: CutoverState.CANCELLED,
    CutoverState.SWITCHED: CutoverState.RETURNED,
}


def find(state: Read | Write, gateway: Gateway) -> Cutover | None:
    """The latest, over or not."""
    return cutovers.find(state.connection, gateway.id)


def among(state: Read | Write, some: Iterable[Gateway]) -> dict[int, Cutover]:
    """The latest by gateway's id, of those that had any."""
    return cutovers.among(state.connection, [gateway.id for gateway in some])


def save(
    write: Write,
    before: Cutover | None,
    after: Cutover,
    content: Mapping[str, Json] | None = None,
    *,
    record: Mapping[str, object] | None = None,
) -> Cutover:
    """One that took a step, noted in the audit trail and told as an event; `content` is what the
    event says beyond when it enforces, `record` what the trail says beyond the cut-over."""
    cutovers.save(write.connection, after)
    action, type_ = _TOLD[after.state]
    told = plain(after) | plain(dict(record or {}))
    write.record(action, f"cutover/{after.gateway}", before, told)
    when = {"at": rfc3339(after.at), "until": rfc3339(after.until)}
    write.tell(type_, after.gateway, when | dict(content or {}))
    return after


def end(
    write: Write,
    before: Cutover,
    state: CutoverState,
    reason: str | None,
    *,
    record: Mapping[str, object] | None = None,
    content: Mapping[str, Json] | None = None,
) -> Cutover:
    """The gateway itself is not touched here. But for one that lapses, which no router has to be
    told, it is in the same revision."""
    told = before.revision if state is CutoverState.LAPSED else write.head.revision + 1
    after = replace(
        before,
        state=state,
        revision=told,
        ended=write.now,
        ended_by=write.author,
        reason=reason,
    )
    return save(write, before, after, {"reason": reason, **(content or {})}, record=record)


def lapsed(write: Write, before: Cutover) -> Cutover:
    """Nobody's doing, whoever comes upon it."""
    why = f"nobody confirmed it until {rfc3339(before.until)}"
    with write.by_itself():
        return end(write, before, CutoverState.LAPSED, why)


def edited(write: Write, before: Gateway, spec: GatewaySpec) -> None:
    """A gateway is about to become another one: with its window a cut-over under way ends."""
    if _window(before.spec) != _window(spec):
        _overtaken(write, before)


def removed(write: Write, gateway: Gateway) -> None:
    """A gateway is about to go."""
    _overtaken(write, gateway)


def check_edit(state: Read | Write, before: Gateway, spec: GatewaySpec) -> None:
    """While a cut-over is under way, what was looked at before it was planned stays: addresses,
    services, when it enforces. Whoever sets it to monitor takes it back. Raises ConflictError."""
    cutover = find(state, before)
    if cutover is None or not cutover.under_way(state.now) or spec.mode == "monitor":
        return
    if _looked_at(before.spec) != _looked_at(spec):
        raise under_way(state, cutover)


def moved(state: Read | Write, gateway: Gateway) -> tuple[str, ...]:
    """What there is to know where other routers carry it from now on."""
    cutover = find(state, gateway)
    if cutover is None or not cutover.under_way(state.now):
        return ()
    name = gateway.name
    return (
        f"{name} has a cut-over under way, which routers that begin to carry it now take part in: "
        f"they have seen nobody knock (peergate gateway readiness {name})",
    )


def under_way(state: Read | Write, cutover: Cutover) -> ConflictError:
    name, at = cutover.gateway, rfc3339(cutover.at)
    if cutover.shown(state.now) is CutoverState.PLANNED:
        how = f"planned for {at}"
    else:
        how = f"that switched at {at} and may be confirmed until {rfc3339(cutover.until)}"
    return ConflictError(
        f"{name} has a cut-over {how}: take it back first (peergate gateway return {name})",
        "cutover-under-way",
    )


def meant(
    state: Read | Write, held: Mapping[str, Gateway], wanted: Iterable[GatewaySpec]
) -> tuple[tuple[GatewaySpec, ...], tuple[str, ...]]:
    """Gateways as a document means them, and what there is to know about that. When a gateway
    enforces is not the document's while a cut-over is under way; and a window that was a
    cut-over's, exported from here, is none to be brought back.

    Raises ConflictError where it would change what a cut-over under way rests on.
    """
    known = cutovers.every(state.connection)
    specs, warnings = [], []
    for spec in wanted:
        before = held.get(spec.name)
        cutover = None if before is None else known.get(before.id)
        if before is not None and cutover is not None and _window(spec) != _window(before.spec):
            going_on = cutover.under_way(state.now)
            if going_on or is_window_of(cutover, spec):
                fields = {name: getattr(before.spec, name) for name in _WINDOW}
                specs.append(spec.model_copy(update=fields))
                why = "has a cut-over under way" if going_on else "had a cut-over of this window"
                warnings.append(f"{spec.name}: it {why}: its mode and window stay as they are")
                continue
        specs.append(spec)
    for spec in specs:
        if (before := held.get(spec.name)) is not None and before.id in known:
            check_edit(state, before, spec)
    return tuple(specs), tuple(warnings)


def without_windows(state: Read | Write, then: Iterable[Gateway]) -> tuple[Gateway, ...]:
    """Gateways of an earlier state, without the windows of cut-overs that are over since."""
    known = cutovers.every(state.connection)
    found = []
    for gateway in then:
        cutover = known.get(gateway.id)
        over = cutover is not None and not cutover.under_way(state.now)
        if cutover is not None and over and is_window_of(cutover, gateway.spec):
            found.append(replace(gateway, spec=monitoring(gateway.spec)))
        else:
            found.append(gateway)
    return tuple(found)


def is_window_of(cutover: Cutover, spec: GatewaySpec) -> bool:
    return _window(spec) == ("enforce", cutover.at, cutover.until)


def same_window(one: GatewaySpec, other: GatewaySpec) -> bool:
    return _window(one) == _window(other)


def monitoring(spec: GatewaySpec) -> GatewaySpec:
    return spec.model_copy(update={"mode": "monitor", "enforce_from": None, "enforce_until": None})


def _window(spec: GatewaySpec) -> tuple[object, ...]:
    return tuple(getattr(spec, name) for name in _WINDOW)


def _looked_at(spec: GatewaySpec) -> tuple[object, ...]:
    return spec.addresses, spec.services, _window(spec)


def _overtaken(write: Write, gateway: Gateway) -> None:
    cutover = find(write, gateway)
    if cutover is None or cutover.state not in UNDER_WAY:
        return
    now = cutover.shown(write.now)
    if cutover.state is CutoverState.PLANNED and now is not CutoverState.PLANNED:
        with write.by_itself():
            cutover = save(write, cutover, replace(cutover, state=CutoverState.SWITCHED))
    if now is CutoverState.LAPSED:
        lapsed(write, cutover)
    else:
        end(write, cutover, _OVERTAKEN[now], write.cause)
