"""A cut-over, step by step: planned, switched by the kernels' clocks, confirmed or lapsed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from api.cutover_records import UNDER_WAY, Activity, Cutover, CutoverState
from api.errors import ConflictError, NotFoundError, RefusedError
from api.records import Gateway, Json, Point
from api.registry import cutover_drops, cutovers, gateways, rules
from api.registry.carriers import Carrier, carried, carriers_of
from api.registry.core import Expected, Read, Write
from api.registry.permissions import Caller
from api.registry.readiness import (
    Unsettled,
    against,
    check_future,
    ending,
    left_out,
    unseen,
    unsettled,
)
from api.store import log
from policy.document import GatewaySpec
from policy.errors import Problem
from policy.window import rfc3339


@dataclass(frozen=True, slots=True)
class Wanted:
    """What whoever plans says."""

    at: datetime
    confirm_within: timedelta
    most_dropped_sources: int
    activity: Activity
    override: str | None


@dataclass(frozen=True, slots=True)
class Planned:
    cutover: Cutover
    spec: GatewaySpec
    left: Unsettled
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """`left`: strangers that are neither registered nor signed off by now; `dropped`: of those
    that passed before the switch. `without_it`: routers that do not have its latest step in force,
    as far as is known."""

    cutover: Cutover
    carriers: tuple[Carrier, ...]
    left: Unsettled
    dropped: Unsettled
    without_it: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """`without_it`: routers that are to hear of that now."""

    cutover: Cutover
    without_it: tuple[str, ...]


def get(state: Read | Write, gateway: Gateway) -> Cutover:
    cutover = cutovers.find(state, gateway)
    if cutover is None:
        raise NotFoundError(f"no cut-over of {gateway.name} was ever planned", "no-cutover")
    return cutover


def progress(read: Read, gateway: Gateway) -> Progress:
    cutover = get(read, gateway)
    at = max(read.now, cutover.at)
    left = unsettled(read, gateway, at, cutover.activity)
    carriers = carriers_of(read, gateway)
    without_it = waiting_for(cutover, gateway, carriers)
    return Progress(cutover, carriers, left, cutover_drops.dropped(read, cutover), without_it)


def prepare(state: Read | Write, gateway: Gateway, wanted: Wanted, caller: Caller) -> Planned:
    """What a plan comes to. Raises RefusedError and ConflictError where it is refused."""
    check_future(state, wanted.at)
    try:
        until = wanted.at + wanted.confirm_within
    except OverflowError:
        problem = Problem("at", str(rfc3339(wanted.at)), "this is too late: name an earlier time")
        raise RefusedError("nothing would go over", "", (problem,)) from None
    carriers = carriers_of(state, gateway)
    left = unsettled(state, gateway, wanted.at, wanted.activity)
    for error in against(state, gateway, left, carriers):
        if error.kind != "strangers" or wanted.override is None:
            raise error
    cutover = Cutover(
        gateway_id=gateway.id,
        gateway=gateway.name,
        state=CutoverState.PLANNED,
        at=wanted.at,
        until=until,
        activity=wanted.activity,
        most_dropped_sources=wanted.most_dropped_sources,
        override=wanted.override if left.sources else None,
        strangers=left.sources,
        revision=state.head.revision + 1,
        planned=state.now,
        planned_by=caller.name,
        author=caller.identity,
    )
    fields = {"mode": "enforce", "enforce_from": wanted.at, "enforce_until": until}
    spec = gateway.spec.model_copy(update=fields)
    warnings = (
        *_warnings(state, gateway, cutover, carriers),
        *ending(state, gateway, wanted.at, wanted.activity),
        *left_out(state, gateway, wanted.at, wanted.activity, left),
    )
    return Planned(cutover, spec, left, warnings)


def plan(write: Write, name: str, expected: Expected, wanted: Wanted, caller: Caller) -> Planned:
    """In one revision the kernels are told when to switch, and when that lapses."""
    gateway = gateways.get(write, name)
    expected.check(gateway.version, f"gateway {name!r}")
    found = prepare(write, gateway, wanted, caller)
    before = cutovers.find(write, gateway)
    if before is not None and before.state in UNDER_WAY:
        before = catch_up(write, before)  # it has lapsed a moment ago
    gateways.save(write, gateway, found.spec)
    content: dict[str, Json] = {
        "strangers": found.left.sources,
        "override": found.cutover.override,
        "most_dropped_sources": found.cutover.most_dropped_sources,
    }
    if wanted.activity != Activity():
        content |= {"days": wanted.activity.days, "min_minutes": wanted.activity.min_minutes}
    record = {"overridden": [*found.left.addresses]} if found.left.sources else None
    cutovers.save(write, before, found.cutover, content, record=record)
    return found


def confirm(write: Write, name: str, expected: Expected, caller: Caller) -> Ended:
    """It enforces for good, which no kernel has to look at a clock for."""
    gateway = gateways.get(write, name)
    expected.check(gateway.version, f"gateway {name!r}")
    before = get(write, gateway)
    now = before.shown(write.now)
    if now is not CutoverState.SWITCHED:
        raise ConflictError(_not_switched(before, now), "not-switched")
    if before.override is not None:
        what = f"the cut-over of {name}, which overrides its strangers,"
        rules.check_eyes(rules.current(write), caller, (before.author,), what)
    before = catch_up(write, before)
    without_it = names_of(carriers_of(write, gateway))
    past_rollout(write, gateway, confirmed=before)
    done = cutovers.end(write, before, CutoverState.CONFIRMED, None)
    for_good = {"enforce_from": None, "enforce_until": None}
    gateways.save(write, gateway, gateway.spec.model_copy(update=for_good))
    return Ended(done, without_it)


def catch_up(write: Write, before: Cutover) -> Cutover:
    """Notes what time has made of it: switched, lapsed, or one after the other. That is the
    registry's own doing, whoever comes upon it first. The gateway itself is not touched."""
    found = before
    now = found.shown(write.now)
    if found.state is CutoverState.PLANNED and now is not CutoverState.PLANNED:
        gateway = gateways.get(write, found.gateway)
        left = unsettled(write, gateway, write.now, found.activity)
        after = replace(found, state=CutoverState.SWITCHED, strangers=left.sources)
        waiting = waiting_for(found, gateway, carriers_of(write, gateway))
        content = {"strangers": left.sources, "without_it": [*waiting]}
        with write.by_itself():
            found = cutovers.save(write, found, after, content)
    return cutovers.lapsed(write, found) if now is CutoverState.LAPSED else found


def lapse(write: Write, cutover: Cutover) -> None:
    """The kernels monitor again by themselves; so does the registry from here on."""
    gateway = gateways.get(write, cutover.gateway)
    if cutovers.is_window_of(cutover, gateway.spec):
        gateways.save(write, gateway, cutovers.monitoring(gateway.spec))


def names_of(carriers: Iterable[Carrier]) -> tuple[str, ...]:
    return tuple(carrier.name for carrier in carriers)


def waiting_for(cutover: Cutover, gateway: Gateway, carriers: Iterable[Carrier]) -> tuple[str, ...]:
    """Names of the routers that do not have its latest step in force, as far as is known."""
    return names_of(each for each in carriers if not _has_step(cutover, gateway, each))


def _has_step(cutover: Cutover, gateway: Gateway, carrier: Carrier) -> bool:
    """A revision may have passed by a router that a roll-out makes wait."""
    report = carrier.standing.report
    if report is None or report.revision < cutover.revision or carrier.there is None:
        return False
    # What has lapsed has done so by the kernels' clocks.
    lapsed = cutover.state is CutoverState.LAPSED
    return lapsed or cutovers.same_window(carrier.there.spec, gateway.spec)


def past_rollout(write: Write, gateway: Gateway, *, confirmed: Cutover | None = None) -> None:
    """At once to all routers, also to those for which changes wait, where that does no harm.

    Two states of the address plan need not fit together, so it must be the same in both. And what
    is `confirmed` is so for those alone that have switched.
    """
    rollout = write.head.rollout
    if rollout is None:
        return
    point = Point(write.head.revision, rollout.released)
    undone = log.undone(write.connection, point, log.GATEWAY).gateways
    then = undone.get(gateway.name, gateway)
    if then is None or carried(then.spec) != carried(gateway.spec):
        return
    if confirmed is None or cutovers.is_window_of(confirmed, then.spec):
        write.hurry()


def _warnings(
    state: Read | Write, gateway: Gateway, cutover: Cutover, carriers: tuple[Carrier, ...]
) -> Iterable[str]:
    yield from unseen(state, gateway, cutover.activity, carriers)
    most = cutover.most_dropped_sources
    if 0 < most < cutover.strangers:
        yield (
            f"{cutover.strangers:,} strangers are overridden, and more than {most:,} that are "
            "dropped return it by themselves: plan it with another --most-dropped-sources"
        )
    for carrier in carriers:
        yield from (f"{carrier.name}: {warning}" for warning in carrier.standing.warnings)
    rest = [c.name for c in carriers if c.standing.stage == "rest"]
    if rest:
        yield (
            f"a staged roll-out is set: {', '.join(rest[:10])} will switch then only if this "
            "revision is released before (peergate rollout status)"
        )


def _not_switched(cutover: Cutover, now: CutoverState) -> str:
    name = cutover.gateway
    match now:
        case CutoverState.PLANNED:
            return f"{name} does not enforce before {rfc3339(cutover.at)}: confirm it then"
        case CutoverState.CONFIRMED:
            return f"the cut-over of {name} is confirmed already, by {cutover.ended_by}"
        case CutoverState.LAPSED:
            until = rfc3339(cutover.until)
            return f"the cut-over of {name} has lapsed at {until}, it monitors again: plan another"
    return f"the cut-over of {name} was {now} by {cutover.ended_by}: plan another"
