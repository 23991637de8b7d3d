"""Whether a gateway may go over from monitor to enforce, and whom that would hit."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from api.cutover_records import Activity
from api.errors import ConflictError, RefusedError
from api.records import Gateway, Peer, State
from api.registry import cutovers, gateways, strangers
from api.registry.carriers import Carrier, carried, carriers_of
from api.registry.core import Read, Write
from api.registry.strangers import Known
from api.store import attendance, log, stranger_search
from api.store.attendance import Attendance
from api.stranger_records import StrangerFilter, StrangerPlace
from policy.document import Mode
from policy.errors import Problem
from policy.prefixes import Address
from policy.window import rfc3339

# Of peers and strangers so many are named.
NAMED = 100
# Strangers are counted up to so many sources.
COUNTED = 1_000
_CHUNK = 500
# In a refusal so many are named.
_TOLD = 10


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Active strangers that are neither registered nor signed off, at the moment of the switch.

    `addresses`: up to COUNTED; `first` are the most persistent, a part for each service.
    """

    addresses: tuple[Address, ...]
    first: tuple[Known, ...]

    @property
    def sources(self) -> int:
        return len(self.addresses)

    @property
    def count(self) -> str:
        return f"{self.sources:,}" + (" or more" if self.sources >= COUNTED else "")


@dataclass(frozen=True, slots=True)
class Readiness:
    """How a gateway stands before it enforces from `at` on.

    `mode` is the one in force now. Of peers the first are named. `against` is why a cut-over would
    be refused, `warnings` what is not seen in all this.
    """

    gateway: Gateway
    at: datetime
    activity: Activity
    mode: Mode
    attendance: Attendance
    never_seen: tuple[Peer, ...]
    pending: tuple[Peer, ...]
    ended_lately: tuple[tuple[Peer, datetime], ...]
    unsettled: Unsettled
    carriers: tuple[Carrier, ...]
    against: tuple[ConflictError, ...]
    warnings: tuple[str, ...]


def readiness(read: Read, name: str, at: datetime | None, activity: Activity) -> Readiness:
    """As if it were to enforce from `at` on; None is now."""
    gateway = gateways.get(read, name)
    if at is not None:
        check_future(read, at)
    at = read.now if at is None else at
    since = activity.since(read.now)
    here = read.connection, gateway.id
    carriers = carriers_of(read, gateway)
    left = unsettled(read, gateway, at, activity)
    return Readiness(
        gateway=gateway,
        at=at,
        activity=activity,
        mode=mode_at(gateway, read.now),
        attendance=attendance.count(*here, at, since),
        never_seen=attendance.never_seen(*here, at, NAMED),
        pending=attendance.pending(*here, NAMED),
        ended_lately=attendance.ended_lately(*here, at, since, NAMED),
        unsettled=left,
        carriers=carriers,
        against=tuple(against(read, gateway, left, carriers)),
        warnings=(
            *unseen(read, gateway, activity, carriers),
            *left_out(read, gateway, at, activity, left),
        ),
    )


def against(
    state: Read | Write, gateway: Gateway, left: Unsettled, carriers: tuple[Carrier, ...]
) -> Iterable[ConflictError]:
    """Why a cut-over is refused; strangers, which alone can be overridden, come last."""
    cutover = cutovers.find(state, gateway)
    if cutover is not None and cutover.under_way(state.now):
        yield cutovers.under_way(state, cutover)
    elif gateway.spec.mode == "enforce" and not _over(gateway, state.now):
        yield _enforces(gateway, state.now)
    if not any(carrier.has_it for carrier in carriers):
        yield _no_router(gateway.name, carriers)
    if left.sources:
        yield _strangers(gateway.name, left)


def unseen(
    state: Read | Write, gateway: Gateway, activity: Activity, carriers: tuple[Carrier, ...]
) -> Iterable[str]:
    """Why not all may have been seen that knock."""
    name, since = gateway.name, activity.since(state.now)
    rarely = f"less than {activity.days} days: who knocks more rarely was perhaps not seen"
    young = gateway.created > since
    if young:
        yield f"{name} is there since {_second(gateway.created)}, {rarely}"
    elif (changed := _as_it_is_since(state, gateway, since)) is not None:
        yield f"{name} has these addresses, services and routers since {_second(changed)}, {rarely}"
    for carrier in carriers:
        router = carrier.standing.router
        if carrier.standing.report is not None and not carrier.has_it:
            yield f"{router.name}: does not have {name} in force yet, and has seen nobody knock"
        elif carrier.has_it and not young and router.created > since:
            yield f"{router.name} is there since {_second(router.created)}, {rarely} there"


def left_out(
    state: Read | Write, gateway: Gateway, at: datetime, activity: Activity, left: Unsettled
) -> Iterable[str]:
    """Whom another look-back than the usual one, or a bound of minutes, keeps from counting."""
    whole = Activity(days=max(activity.days, Activity().days))
    if activity == whole:
        return
    everybody = unsettled(state, gateway, at, whole)
    more = everybody.sources - left.sources
    if more:
        early = ", nor does the early return count whom min_minutes leaves out"
        early = early if activity.min_minutes > 1 else ""
        many = f"{more:,}" + (" or more" if everybody.sources >= COUNTED else "")
        yield (
            f"days {activity.days} and min_minutes {activity.min_minutes} leave out {many} sources "
            f"that were seen in the last {whole.days} days and would be cut off, too{early}"
        )


def ending(
    state: Read | Write, gateway: Gateway, at: datetime, activity: Activity
) -> Iterable[str]:
    """Who passes now and will not then: no stranger yet, so nothing holds it up."""
    since = activity.since(state.now)
    found = attendance.ending(state.connection, gateway.id, state.now, at, since, NAMED)
    if found:
        many = f"{len(found)} or more" if len(found) == NAMED else f"{len(found)}"
        first = ", ".join(f"{peer.id} ({peer.name})" for peer in found[:_TOLD])
        yield (
            f"peers that were seen in the last {activity.days} days end before the switch, which "
            f"cuts them off: {many}, first of all {first}: renew them (peergate peer renew)"
        )


def check_future(state: Read | Write, at: datetime) -> None:
    if at <= state.now:
        rule = f"this is in the past, here it is {rfc3339(state.now)}: name a later time"
        problem = Problem("at", str(rfc3339(at)), rule)
        raise RefusedError("nothing would go over", "", (problem,))


def mode_at(gateway: Gateway, at: datetime) -> Mode:
    """What its window comes to."""
    spec = gateway.spec
    begun = spec.enforce_from is None or spec.enforce_from <= at
    return "enforce" if spec.mode == "enforce" and begun and not _over(gateway, at) else "monitor"


def unsettled(state: Read | Write, gateway: Gateway, at: datetime, activity: Activity) -> Unsettled:
    """A registration counts if it lets in at `at`, a sign-off if it holds then."""
    wanted = StrangerFilter(
        gateway=gateway.name,
        since=activity.since(state.now),
        min_minutes=activity.min_minutes,
    )
    return left_of(state, wanted, at)


def left_of(state: Read | Write, wanted: StrangerFilter, at: datetime) -> Unsettled:
    """Of these strangers."""
    sources: dict[Address, None] = {}
    first: list[Known] = []
    after: StrangerPlace | None = None
    while len(sources) < COUNTED:
        found = stranger_search.page(state.connection, wanted, "minutes", after, _CHUNK)
        for known in strangers.known(state, found, at):
            if not known.is_settled and len(sources) < COUNTED:
                sources[known.stranger.source] = None
                first += [known] if len(first) < NAMED else []
        if len(found) < _CHUNK:
            break
        after = StrangerPlace.of(found[-1], "minutes")
    return Unsettled(tuple(sources), tuple(first))


def _as_it_is_since(state: Read | Write, gateway: Gateway, since: datetime) -> datetime | None:
    """When other packets, or those on other routers, came to be looked at for its sake; None:
    before that, as far as is known."""
    for when, before in log.steps_of(state.connection, gateway.name, since):
        if before is None or carried(before.spec) != carried(gateway.spec):
            return when
    return None


def _second(moment: datetime) -> str | None:
    return rfc3339(moment.replace(microsecond=0))


def _over(gateway: Gateway, at: datetime) -> bool:
    until = gateway.spec.enforce_until
    return until is not None and until <= at


def _enforces(gateway: Gateway, now: datetime) -> ConflictError:
    spec, name = gateway.spec, gateway.name
    if spec.enforce_until is None and mode_at(gateway, now) == "enforce":
        return ConflictError(f"{name} enforces already, for good", "enforces")
    bounds = [f"from {rfc3339(spec.enforce_from)}"] if spec.enforce_from is not None else []
    bounds += [f"until {rfc3339(spec.enforce_until)}"] if spec.enforce_until is not None else []
    return ConflictError(
        f"{name} has a window of its own already, it enforces {' '.join(bounds)}: take that away "
        f"first (peergate gateway set {name} --mode monitor)",
        "enforces",
    )


def _no_router(name: str, carriers: tuple[Carrier, ...]) -> ConflictError:
    if not carriers:
        return ConflictError(
            f"no router carries {name}: declare one that has its labels (peergate router add), or "
            f"change these (peergate gateway set {name} --router)",
            "no-router",
        )
    names = ", ".join(carrier.name for carrier in carriers[:3])
    more = f" and {len(carriers) - 3} more" if len(carriers) > 3 else ""
    if not any(carrier.standing.report for carrier in carriers):
        what = f"has ever reported ({names}{more}): start its agent first"
    else:
        what = (
            f"has it in force yet ({names}{more}), so nobody has seen who knocks: wait until one "
            "reports that it does (peergate router list)"
        )
    return ConflictError(f"no router that carries {name} {what}", "no-router")


def _strangers(name: str, left: Unsettled) -> ConflictError:
    problems = tuple(
        Problem("stranger", str(each.stranger.source), _state_of(each))
        for each in left.first[:_TOLD]
    )
    first = left.first[0].stranger
    them = "stranger is" if left.sources == 1 else "strangers are"
    return ConflictError(
        f"{left.count} active {them} neither registered nor signed off at {name}, first of all "
        f"{first.source}: register or sign off (peergate gateway readiness {name}), or override "
        "with a reason",
        "strangers",
        problems,
        left.sources,
    )


def _state_of(known: Known) -> str:
    found = known.stranger
    seen = _second(found.last_seen)
    told = f"{found.service}, in {found.minutes:,} minutes, last seen {seen}"
    if known.peer is None or known.state is None:
        return told
    how = {State.PENDING: "is pending", State.EXPIRED: "is over by then: renew it"}
    return f"{told}; peer {known.peer.id} {how.get(known.state, 'begins later')}"
