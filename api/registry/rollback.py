"""Back to an earlier state: a new, higher revision with the old content.

It takes gateways and peers back, as the allowlist had them. Labels of routers and the rule of a
roll-out describe the machines of now, and stay; so do sources that a peer's owner moves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from api.errors import ConflictError, GoneError, RefusedError
from api.event_types import EventType
from api.records import Gateway, Peer, Point, Revision, State
from api.registry import gateways, many, peers
from api.registry.core import Expected, Read, Write
from api.registry.foreseen import Foreseen
from api.registry.policy import Difference, differing
from api.store import gateways as gateway_rows
from api.store import log
from api.store import peers as peer_rows
from policy.errors import Problem

T = TypeVar("T")

# Peers written together.
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be done, each as it is now and as it was; in the order in which it is done."""

    revoke: tuple[Peer, ...]
    remove: tuple[Gateway, ...]
    change: tuple[tuple[Gateway, Gateway], ...]
    revive: tuple[Gateway, ...]
    restore: tuple[tuple[Peer, Peer], ...]

    @property
    def count(self) -> int:
        """Of all that has to be done."""
        parts = (self.revoke, self.remove, self.change, self.revive, self.restore)
        return sum(map(len, parts))

    def foresee(self, now: datetime) -> Foreseen:
        """What it would make of peers and gateways."""
        found = Foreseen(now)
        again = {gateway.name: gateway for gateway in self.revive}
        for gateway in self.remove:
            found.note(gateway, again.pop(gateway.name, None))
        for gateway in again.values():
            found.note(None, gateway)
        for was, will in (*self.change, *self.restore):
            found.note(was, will)
        for peer in self.revoke:
            found.note(peer, None)
        return found

    def differences(self) -> Iterator[Difference]:
        yield from self._of_gateways()
        yield from self._of_peers()

    def _of_gateways(self) -> Iterator[Difference]:
        for gateway in self.revive:
            yield _gateway("add", gateway.name, None, gateway)
        for now, then in self.change:
            yield _gateway("change", now.name, now, then)
        for gateway in self.remove:
            yield _gateway("remove", gateway.name, gateway, None)

    def _of_peers(self) -> Iterator[Difference]:
        for now, then in self.restore:
            action = "change" if now.state is State.APPROVED else "approve"
            fields = differing(peers.content(now), peers.content(then))
            yield Difference("peer", then.name, then.gateway, action, fields)
        for peer in self.revoke:
            fields = differing(peers.content(peer), {})
            yield Difference("peer", peer.name, peer.gateway, "revoke", fields)


def revisions(read: Read, below: int | None, limit: int) -> tuple[Revision, ...]:
    """The latest first."""
    return log.page(read.connection, below, limit)


def plan(state: Read | Write, revision: int) -> Plan:
    """What leads back to `revision`. Raises RefusedError, GoneError.

    Where an owner moves the sources, these stay: the site is where it is now, whatever is taken
    back elsewhere.
    """
    _check_kept(state, revision)
    return plan_to(state, Point(revision), owners=True)


def plan_to(state: Read | Write, point: Point, *, owners: bool = False) -> Plan:
    undone = log.undone(state.connection, point)
    held = {g.name: g for g in gateway_rows.named(state.connection, undone.gateways)}
    people = {p.id: p for p in peer_rows.among(state.connection, undone.peers)}
    then_gateways = [gateway for gateway in undone.gateways.values() if gateway is not None]
    kept = {g.id for g in then_gateways if g.name in held and held[g.name].id == g.id}
    was = {
        number: _meant(people[number], peer, owners=owners)
        for number, peer in undone.peers.items()
        if peer is not None
    }
    return Plan(
        revoke=tuple(
            peer
            for number, peer in people.items()
            if number not in was and peer.state is State.APPROVED
        ),
        remove=tuple(gateway for gateway in held.values() if gateway.id not in kept),
        change=tuple(
            (held[then.name], then)
            for then in then_gateways
            if then.id in kept and then.spec != held[then.name].spec
        ),
        revive=tuple(then for then in then_gateways if then.id not in kept),
        restore=tuple(
            (people[number], then)
            for number, then in was.items()
            if people[number].state is not State.APPROVED
            or peers.content(people[number]) != peers.content(then)
        ),
    )


def _meant(now: Peer, then: Peer, *, owners: bool) -> Peer:
    """The peer of then, without what no router ever saw of it.

    What is proposed now waits for an approver, and what was decided is not asked again. Who may
    move sources was not the allowlist's either. With `owners`, what they moved stays.
    """
    then = replace(then, proposal=now.proposal)
    if now.state is not State.APPROVED:
        return then
    then = replace(then, bounds=now.bounds)
    if owners and now.bounds is not None:
        then = replace(then, sources=now.sources, here=now.here, moved=now.moved)
    return then


def roll_back(write: Write, revision: int, expected: Expected) -> Plan:
    expected.check(write.head.policy_version, "the policy")
    found = plan(write, revision)
    carry_out(write, found, f"rollback to revision {revision}")
    if found.count:
        write.tell(EventType.REVISION_ROLLED_BACK, revision, {"changes": found.count})
    return found


def carry_out(write: Write, found: Plan, why: str) -> None:
    """Raises ConflictError where a pending peer stands in the way; nothing is changed then."""
    if not found.count:
        return
    then = {"revision": write.head.revision}
    write.record("registry.rollback", "registry", then, {"done": why})
    for some in _batches(found.revoke, _AT_ONCE):
        many.save(write, ((peer, peers.decided(write, peer, State.REVOKED, why)) for peer in some))
    if write.touched:
        # One gateway may give way to another of its name: the log takes both as one change.
        write.write_touched()
    for gateway in found.remove:
        gateways.remove(write, gateway.name, Expected(any_version=True))
    for now, wanted in found.change:
        gateways.save(write, now, wanted.spec)
    for wanted in found.revive:
        gateways.revive(write, wanted)
    _restore(write, found.restore, why)


def _restore(write: Write, pairs: Sequence[tuple[Peer, Peer]], why: str) -> None:
    for renamed in (True, False):
        # One by one where a name may give way to the next: these come first.
        of_these = [
            (now, then)
            for now, then in pairs
            if (now.state is State.APPROVED and now.name != then.name) is renamed
        ]
        for some in _batches(of_these, 1 if renamed else _AT_ONCE):
            _check_names_free(write, [then for _, then in some])
            many.save(write, ((now, _restored(write, now, then, why)) for now, then in some))


def _restored(write: Write, now: Peer, then: Peer, why: str) -> Peer:
    after = replace(
        then,
        version=now.version,
        decided=now.decided,
        decided_by=now.decided_by,
        reason=now.reason,
    )
    return after if now.state is State.APPROVED else peers.decided(write, after, then.state, why)


def _batches(found: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (found[start : start + size] for start in range(0, len(found), size))


def _check_names_free(write: Write, back: Sequence[Peer]) -> None:
    ids = gateway_rows.ids(write.connection)
    names: dict[int, list[str]] = {}
    for peer in back:
        names.setdefault(ids[peer.gateway], []).append(peer.name)
    held = peer_rows.live_among(write.connection, names)
    for peer in back:
        holder = held.get((peer.gateway, peer.name))
        if holder is None or holder.id == peer.id:
            continue
        raise ConflictError(
            f"peer {holder.id} ({holder.state}) has the name {peer.name!r}, which peer {peer.id} "
            f"at gateway {peer.gateway!r} would have again: reject it first",
            "name-taken",
        )


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


def _gateway(action: str, name: str, before: Gateway | None, after: Gateway | None) -> Difference:
    def fields(gateway: Gateway | None) -> dict[str, object]:
        return {} if gateway is None else gateway.spec.model_dump(mode="json")

    return Difference("gateway", name, name, action, differing(fields(before), fields(after)))
