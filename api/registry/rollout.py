"""Staged roll-out: what changes goes to canaries first, and on to the rest after a time or a word.

Every router is at the head's revision. Those among the rest have the state of the revision that
was released, and of what came later the urgent alone (`Point`). The rule stands in the
registry's row, so all processes and routers agree on it; each change of it is a revision too.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from api.errors import ConflictError, RefusedError
from api.event_types import EventType
from api.records import Json, Point, Report, Revision, Rollout, Router
from api.registry import rollback
from api.registry.core import ITSELF, Expected, Read, Registry, Write
from api.registry.rollback_plan import Plan
from api.registry.standing import SILENT
from api.store import log, routers
from policy.errors import Problem
from policy.labels import selects
from policy.window import rfc3339

# Of what waits, so much is told.
TOLD = 100
_EVENTS = {
    "rollout.set": EventType.ROLLOUT_SET,
    "rollout.confirm": EventType.ROLLOUT_CONFIRMED,
    "rollout.release": EventType.ROLLOUT_RELEASED,
    "rollout.abort": EventType.ROLLOUT_ABORTED,
    "rollout.end": EventType.ROLLOUT_ENDED,
}


@dataclass(frozen=True, slots=True)
class Canary:
    """A canary, with the revision that it has in force and what it has trouble with."""

    router: Router
    revision: int | None
    trouble: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """`pending` waits for release. `due` is when the first of it goes on by itself, `stopped` why
    it will not."""

    rollout: Rollout | None
    pending: tuple[Revision, ...]
    canaries: tuple[Canary, ...]
    due: datetime | None
    stopped: str | None


def version(state: Read | Write) -> int:
    rollout = state.head.rollout
    return 0 if rollout is None else rollout.version


def progress(read: Read) -> Progress:
    rollout = read.head.rollout
    if rollout is None:
        return Progress(None, (), (), None, None)
    pending = log.pending(read.connection, rollout.released)
    canaries = _canaries(read, rollout)
    due = stopped = None
    if pending and rollout.hold is not None:
        due = pending[0].time + timedelta(seconds=rollout.hold)
        stopped = _stopped(read, canaries, pending[0].revision)
    return Progress(rollout, pending, canaries, due, stopped)


def set_rule(write: Write, expected: Expected, canaries: dict[str, str], hold: int | None) -> None:
    """What was released stays so; at the start that is everything."""
    expected.check(version(write), "the roll-out")
    if not canaries:
        problem = Problem("canaries", "{}", "without a label every router would be a canary")
        raise RefusedError("there would be no rest to go on to", "", (problem,))
    before, own = write.head.rollout, write.head.revision + 1
    released = own if before is None else before.released
    _set(write, "rollout.set", Rollout(canaries, hold, released, own))


def end(write: Write, expected: Expected) -> None:
    """All have every revision from then on, also what waits."""
    expected.check(version(write), "the roll-out")
    rule_of(write)
    _set(write, "rollout.end", None)


def confirm(write: Write, revision: int) -> None:
    """Releases all up to a revision: the one that whoever confirms has seen.

    Never back to one below: what somebody else has released meanwhile stays with all.
    """
    rollout = check_pending(write, revision)
    _release(write, rollout, revision, "rollout.confirm")


def check_pending(state: Read | Write, revision: int) -> Rollout:
    """Raises ConflictError where nothing up to that revision waits."""
    rollout = rule_of(state)
    first = log.pending(state.connection, rollout.released, 1)
    if not first or not first[0].revision <= revision <= state.head.revision:
        raise ConflictError(
            f"nothing up to revision {revision} waits for a release: see `peergate rollout status`",
            "nothing-pending",
        )
    return rollout


def plan_abort(state: Read | Write) -> Plan:
    """What leads back to what the rest has. Raises ConflictError where nothing waits, or a peer
    stands in the way."""
    rollout = rule_of(state)
    if not log.pending(state.connection, rollout.released, 1):
        raise ConflictError("nothing waits for a release", "nothing-pending")
    return rollback.plan_to(state, Point(state.head.revision, rollout.released), owners=False)


def abort(write: Write) -> Plan:
    """Takes back what waits: a new revision, of what the rest has, for the canaries too."""
    found = plan_abort(write)
    released = rule_of(write).released
    rollback.carry_out(write, found, f"roll-out aborted: back to revision {released}")
    release_all(write, "rollout.abort")
    return found


def release_all(write: Write, action: str) -> None:
    """With the revision that this change makes, too."""
    if (rollout := write.head.rollout) is not None:
        _set(write, action, replace(rollout, released=write.head.revision + 1))


def release_due(registry: Registry) -> None:
    """What has been with canaries for long enough, and without trouble there, goes on."""
    with registry.read() as read:
        if _due(read) is None:
            return
    with registry.write(ITSELF, "released after its time with the canaries") as write:
        due = _due(write)  # another process may have been first
        if due is not None and write.head.rollout is not None:
            _release(write, write.head.rollout, due, "rollout.release")


def _due(state: Read | Write) -> int | None:
    rollout = state.head.rollout
    if rollout is None or rollout.hold is None:
        return None
    ready = state.now - timedelta(seconds=rollout.hold)
    last = log.last_pending(state.connection, rollout.released, ready)
    if last is None or _stopped(state, _canaries(state, rollout), last) is not None:
        return None
    return last


def _release(write: Write, rollout: Rollout, revision: int, action: str) -> None:
    if not log.pending(write.connection, revision):
        revision = write.head.revision + 1  # nothing is left: with this one too
    _set(write, action, replace(rollout, released=revision))


def _set(write: Write, action: str, rollout: Rollout | None) -> None:
    write.record(action, "rollout", write.head.rollout, rollout)
    write.set_rollout(rollout)
    told: dict[str, Json] = {}
    if rollout is not None:
        told = {"canaries": rollout.canaries, "hold": rollout.hold, "released": rollout.released}
    write.tell(_EVENTS[action], None, told)


def rule_of(state: Read | Write) -> Rollout:
    """Raises ConflictError where none is set."""
    if state.head.rollout is None:
        raise ConflictError(
            "no staged roll-out is set: every revision goes to all routers at once", "no-rollout"
        )
    return state.head.rollout


def _canaries(state: Read | Write, rollout: Rollout) -> tuple[Canary, ...]:
    chosen = [r for r in routers.every(state.connection) if selects(rollout.canaries, r.labels)]
    reports = routers.reports_of(state.connection, [router.name for router in chosen])
    found = []
    for router in chosen:
        report = reports.get(router.name)
        trouble = None
        if report is not None:
            trouble = _trouble(state.now, report)
        found.append(Canary(router, None if report is None else report.revision, trouble))
    return tuple(found)


def _trouble(now: datetime, report: Report) -> str | None:
    # A change that cuts a canary off, or ends its agent, shows in nothing else.
    if now - report.received > SILENT:
        return f"is silent since {rfc3339(report.received)}"
    said = report.content
    if said["held"] is not None:
        return f"holds back a change: {said['held']}"
    down = [each["name"] for each in said["interfaces"] if not each["attached"]]
    return f"not attached: {', '.join(down)}" if down else None


def _stopped(state: Read | Write, canaries: tuple[Canary, ...], revision: int) -> str | None:
    """Why a revision does not go on by itself. One that never reported is no canary yet.

    After the registry was lifted, what a canary reports from before may be another history's.
    """
    revision = max(revision, state.head.lifted)
    started = [canary for canary in canaries if canary.revision is not None]
    if not started:
        return f"no canary has revision {revision} in force"
    for canary in started:
        if canary.trouble is not None:
            return f"canary {canary.router.name} {canary.trouble}"
        if canary.revision is None or canary.revision < revision:
            return f"canary {canary.router.name} does not have revision {revision} in force"
    return None
