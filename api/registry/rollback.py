"""Back to an earlier state: a new, higher revision with the old content.

It takes gateways and peers back, as the allowlist had them. Labels of routers and the rule of a
roll-out describe the machines of now, and stay; so do sources that a peer's owner moves. A cut-over
under way ends where its gateway goes back to before it; none comes back.
"""

from collections.abc import Sequence
from dataclasses import replace

from api.errors import ConflictError, GoneError, RefusedError
from api.event_types import EventType
from api.records import Peer, Point, Revision, State
from api.registry import gateways, many, peers
from api.registry.core import Expected, Read, Write
from api.registry.rollback_plan import Pair, Plan, Todo
from api.store import log
from api.store import peers as peer_rows
from policy.errors import Problem


def revisions(read: Read, below: int | None, limit: int) -> tuple[Revision, ...]:
    """The latest first."""
    return log.page(read.connection, below, limit)


def plan(state: Read | Write, revision: int) -> Plan:
    """What leads back to `revision`. Raises RefusedError, GoneError, ConflictError.

    Where an owner moves the sources, these stay: the site is where it is now, whatever is taken
    back elsewhere.
    """
    _check_kept(state, revision)
    return plan_to(state, Point(revision), owners=True)


def plan_to(state: Read | Write, point: Point, *, owners: bool) -> Plan:
    """What can be carried out, previewed or done. Raises ConflictError where a peer stands in the
    way that does not go back itself."""
    found = Plan(state, point, owners=owners)
    for gateway in found.gateways.remove:
        gateways.check_unused(state, gateway, found.going[gateway.name])
    if found.obstacle is not None:
        raise _taken(found, *found.obstacle)
    return found


def roll_back(write: Write, revision: int, expected: Expected) -> Plan:
    expected.check(write.head.policy_version, "the policy")
    found = plan(write, revision)
    carry_out(write, found, f"rollback to revision {revision}")
    if found.count:
        write.tell(EventType.REVISION_ROLLED_BACK, revision, {"changes": found.count})
    return found


def carry_out(write: Write, found: Plan, why: str) -> None:
    """Nothing is in its way: `plan_to` has looked, in this transaction."""
    if not found.count:
        return
    then = {"revision": write.head.revision}
    write.record("registry.rollback", "registry", then, {"done": why})
    for some in found.peers(Todo.REVOKE):
        many.save(write, ((now, peers.decided(write, now, State.REVOKED, why)) for now, _ in some))
    if write.touched:
        # One gateway may give way to another of its name: the log takes both as one change.
        write.write_touched()
    for gateway in found.gateways.remove:
        gateways.remove(write, gateway.name, Expected(any_version=True))
    for now, wanted in found.gateways.change:
        gateways.save(write, now, wanted.spec)
    for wanted in found.gateways.revive:
        gateways.revive(write, wanted)
    # Names may have gone round among peers: all of these give way before one has its own again.
    for some in found.peers(Todo.RENAME):
        _restore(write, some, why, unnamed=True)
    for some in found.peers(Todo.RENAME):
        names = {then.id: then.name for _, then in some if then is not None}
        peer_rows.name_many(write.connection, names)
    for some in found.peers(Todo.RESTORE):
        _restore(write, some, why)


def _restore(write: Write, some: Sequence[Pair], why: str, *, unnamed: bool = False) -> None:
    back = ((now, _restored(write, now, then, why)) for now, then in some if then is not None)
    many.save(write, back, unnamed=unnamed)


def _restored(write: Write, now: Peer, then: Peer, why: str) -> Peer:
    after = replace(
        then,
        version=now.version,
        decided=now.decided,
        decided_by=now.decided_by,
        reason=now.reason,
    )
    return after if now.state is State.APPROVED else peers.decided(write, after, then.state, why)


def _taken(found: Plan, holder: int, claimant: int) -> ConflictError:
    both = {now.id: (now, then) for now, then in found.outcomes((holder, claimant))}
    held, (_, back) = both[holder][0], both[claimant]
    assert back is not None
    if held.name == back.name:
        end = "reject" if held.state is State.PENDING else "revoke"
        told = (
            f"peer {holder} ({held.state}) has the name {back.name!r}, which peer {claimant} at "
            f"gateway {back.gateway!r} would have again: {end} it first, or give it another name"
        )
    else:
        told = (
            f"peers {holder} and {claimant} would both have the name {back.name!r} at gateway "
            f"{back.gateway!r} again: revoke one of them first (peergate peer revoke --urgent)"
        )
    return ConflictError(told, "name-taken")


def _check_kept(state: Read | Write, revision: int) -> None:
    head = state.head
    if revision > head.revision:
        rule = f"this registry is at {head.revision}"
        problem = Problem("to_revision", str(revision), rule)
        raise RefusedError("there is no such revision yet", "", (problem,))
    if revision and not log.is_there(state.connection, revision):
        rule = "the registry was restored, and lifted above what it had lost: see the revisions"
        problem = Problem("to_revision", str(revision), rule)
        raise RefusedError("there is no such revision here", "", (problem,))
    if revision < head.floor:
        raise GoneError(
            f"revision {revision} is no longer kept: the oldest to go back to is {head.floor}",
            "revision-not-kept",
        )
