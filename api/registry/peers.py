"""Peers and their life: pending, then approved or rejected; approved, then revoked."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from api.errors import ConflictError, NotFoundError, RefusedError
from api.records import Bounds, Gateway, Peer, PeerFilter, Place, Sort, State
from api.registry import peer_events, rules, tokens
from api.registry.core import Expected, Read, Write
from api.registry.permissions import Caller, Permission
from api.store import gateways, peers, search
from policy.document import PeerSpec, PolicyPeer, problems_of
from policy.errors import Problem
from policy.window import rfc3339

_DECISIONS = {
    State.APPROVED: "peer.approve",
    State.REJECTED: "peer.reject",
    State.REVOKED: "peer.revoke",
}
# An owner's own change, within its bounds.
MOVE = "peer.move"
_HIGHEST_ID = 2**32 - 1


def get(state: Read | Write, number: int) -> Peer:
    peer = peers.find(state.connection, number)
    if peer is None:
        raise NotFoundError(f"there is no peer {number}")
    return peer


def page(
    read: Read, wanted: PeerFilter, sort: Sort, after: Place | None, limit: int
) -> tuple[Peer, ...]:
    return search.page(read.connection, wanted, sort, after, read.now, limit)


def expiring(
    read: Read, within: timedelta, after: tuple[datetime, int] | None, limit: int
) -> tuple[Peer, ...]:
    """Active peers that end within that time, the first to end first."""
    try:
        until = read.now + within
    except OverflowError:
        until = datetime.max.replace(tzinfo=UTC)
    ended = (read.now, _HIGHEST_ID)
    return peers.expiring(read.connection, max(after or ended, ended), until, limit)


def content(peer: Peer) -> dict[str, object]:
    """The peer in the words of the policy document, as JSON has them."""
    return {
        "name": peer.name,
        "gateway": peer.gateway,
        "owner": peer.owner,
        "contact": peer.contact,
        "purpose": peer.purpose,
        "sources": list(peer.sources),
        "valid_from": rfc3339(peer.valid_from),
        "valid_until": rfc3339(peer.valid_until),
    }


def registered(peer: Peer) -> dict[str, object]:
    """The same with its bounds: all that a policy says."""
    bounds = None if peer.bounds is None else peer.bounds.written
    return content(peer) | {"bounds": bounds}


def filled(peer: Peer, spec: PeerSpec) -> Peer:
    """The peer with the content of `spec`; its gateway stays, and bounds that are not said."""
    return replace(
        peer,
        bounds=_bounds(spec, peer.bounds),
        name=spec.name,
        owner=spec.owner,
        contact=spec.contact,
        purpose=spec.purpose,
        sources=tuple(spec.model_dump(mode="json", include={"sources"})["sources"]),
        valid_from=spec.valid_from,
        valid_until=spec.valid_until,
    )


def _bounds(spec: PeerSpec, kept: Bounds | None) -> Bounds | None:
    if not isinstance(spec, PolicyPeer) or "bounds" not in spec.model_fields_set:
        return kept
    return None if spec.bounds is None else Bounds.of(spec.bounds.model_dump(mode="json"))


def request(
    write: Write,
    wanted: PeerSpec,
    caller: Caller,
    terms: str | None = None,
) -> Peer:
    """A new registration, pending. `terms`: the version of the terms of use acknowledged.

    Where there is a longest validity, one without an end gets that one.
    """
    in_force = rules.current(write)
    rules.check_terms(in_force, terms)
    rules.check_bounds(in_force, _bounds(wanted, None))
    if wanted.valid_until is None:
        end = rules.last_end(in_force, write.now, wanted.valid_from)
        wanted = wanted.model_copy(update={"valid_until": end})
    rules.check_validity(in_force, write.now, wanted.valid_from, wanted.valid_until)
    return add(write, wanted, State.PENDING, caller, terms)


def add(
    write: Write,
    wanted: PeerSpec,
    state: State,
    caller: Caller,
    terms: str | None = None,
) -> Peer:
    """Whatever the rules say: the caller sees to them."""
    gateway = _gateway(write, wanted.gateway)
    _check_name_free(write, wanted.gateway, wanted.name)
    listed = state is State.APPROVED and write.lists(wanted.valid_until)
    empty = blank(write, gateway.name, state, caller, terms)
    fresh = replace(filled(empty, wanted), listed=listed)
    number = peers.add(write.connection, fresh, gateway)
    peer = get(write, number)
    note(write, None, peer)
    return peer


def blank(
    write: Write, gateway: str, state: State, caller: Caller, terms: str | None = None
) -> Peer:
    """A new one with nothing in it yet."""
    decided = state is not State.PENDING
    return Peer(
        id=0,
        gateway=gateway,
        name="",
        owner="",
        contact="",
        purpose="",
        sources=(),
        valid_from=None,
        valid_until=None,
        state=state,
        listed=False,
        version=1,
        created=write.now,
        created_by=write.author,
        decided=write.now if decided else None,
        decided_by=write.author if decided else None,
        reason=None,
        authors=(caller.identity,),
        terms=terms,
        changed=write.now,
    )


def edit(
    write: Write, number: int, expected: Expected, fields: Mapping[str, object], caller: Caller
) -> Peer:
    """A pending one by whoever may ask, an approved one by whoever may decide."""
    before = get(write, number)
    pending = before.state is State.PENDING
    caller.require(Permission.REQUEST if pending else Permission.DECIDE)
    expected.check(before.version, f"peer {number}")
    _check_state(before, "edited", State.PENDING, State.APPROVED)
    after = edited(write, before, fields)
    if after == before:
        return before
    if pending:
        authors = tuple(dict.fromkeys((*before.authors, caller.identity)))
        after = replace(after, authors=authors)
    else:
        rules.check_alone(rules.current(write), before, after)
    return save(write, before, after)


def edited(write: Write, before: Peer, fields: Mapping[str, object]) -> Peer:
    """What becomes of it with these fields, in the policy's words, or `bounds`; checked, and not
    written."""
    fields, bounds = dict(fields), before.bounds
    if "bounds" in fields:
        given = fields.pop("bounds")
        bounds = None if given is None else Bounds.of(given)
    try:
        wanted = PeerSpec.model_validate(content(before) | fields)
    except ValidationError as error:
        raise RefusedError("the peer would be wrong", "", problems_of(error)) from None
    if wanted.name != before.name:
        _check_name_free(write, before.gateway, wanted.name)
    after = replace(filled(before, wanted), bounds=bounds)
    if bounds != before.bounds:
        rules.check_bounds(rules.current(write), bounds)
    if (after.valid_from, after.valid_until) != (before.valid_from, before.valid_until):
        in_force = rules.current(write)
        rules.check_validity(in_force, write.now, after.valid_from, after.valid_until)
    return after


def approve(write: Write, number: int, expected: Expected, caller: Caller) -> Peer:
    before = decidable(write, number, expected, "approved", State.PENDING)
    rules.check_eyes(rules.current(write), caller, before.authors, f"peer {number}")
    return save(write, before, decided(write, before, State.APPROVED, None))


def reject(write: Write, number: int, expected: Expected, reason: str) -> Peer:
    before = decidable(write, number, expected, "rejected", State.PENDING)
    return save(write, before, decided(write, before, State.REJECTED, reason))


def revoke(write: Write, number: int, expected: Expected, reason: str) -> Peer:
    before = decidable(write, number, expected, "revoked", State.APPROVED)
    return save(write, before, decided(write, before, State.REVOKED, reason))


def renew(write: Write, number: int, expected: Expected, until: datetime | None) -> Peer:
    """A new end, or none; also for one that has expired."""
    before = decidable(write, number, expected, "renewed", State.APPROVED)
    after = renewed(write, before, until)
    rules.check_alone(rules.current(write), before, after)
    return save(write, before, after)


def renewed(write: Write, before: Peer, until: datetime | None) -> Peer:
    if until is not None:
        rule = ""
        if until <= write.now:
            rule = "this is in the past: to end a peer now, revoke it"
        elif before.valid_from is not None and until <= before.valid_from:
            rule = "the window ends before it starts"
        if rule:
            problem = Problem("valid_until", until.isoformat(), rule)
            raise RefusedError("the peer cannot be renewed like this", "", (problem,))
    rules.check_validity(rules.current(write), write.now, before.valid_from, until)
    return replace(before, valid_until=until)


def save(write: Write, before: Peer, after: Peer, action: str = "") -> Peer:
    """Writes what changed, if anything did, and what follows for the allowlist.

    `action` is the audit trail's word, where the states do not tell it.
    """
    after = following(write, before, after)
    if after is before:
        return before
    peers.save(write.connection, after)
    note(write, before, after, action)
    return after


def following(write: Write, before: Peer, after: Peer) -> Peer:
    """`after` as it is to be written; `before` itself where nothing changed."""
    listed = after.state is State.APPROVED and write.lists(after.valid_until)
    after = replace(after, listed=listed)
    if after == before:
        return before
    proposal = after.proposal if after.state is State.APPROVED else None
    return replace(after, version=before.version + 1, proposal=proposal, changed=write.now)


def note(write: Write, before: Peer | None, after: Peer, action: str = "") -> None:
    """What neither routers nor policies show makes no new revision or version of them."""
    write.record(action or _action(before, after), f"peer/{after.id}", before, after)
    peer_events.tell(write, before, after, moved=action == MOVE)
    had_owner = before is not None and before.bounds is not None
    if had_owner and (after.bounds is None or after.state is not State.APPROVED):
        tokens.end_of_peer(write, after.id)
    if before is not None and (before.state, before.listed, content(before)) == (
        after.state,
        after.listed,
        content(after),
    ):
        # Bounds are the policy's, and no router's.
        if after.state is State.APPROVED and after.bounds != before.bounds:
            write.policy_changed = True
        return
    if after.listed or (before is not None and before.listed):
        write.touch_peer(after.id, before)
    # What an owner moves is no policy's: one that was planned before is still right.
    decided = State.APPROVED in (after.state, before.state if before is not None else None)
    if decided and action != MOVE:
        write.policy_changed = True


def _action(before: Peer | None, after: Peer) -> str:
    if before is None:
        return "peer.request" if after.state is State.PENDING else "peer.add"
    return "peer.change" if after.state is before.state else _DECISIONS[after.state]


def decided(write: Write, peer: Peer, state: State, reason: str | None) -> Peer:
    return replace(peer, state=state, decided=write.now, decided_by=write.author, reason=reason)


def decidable(write: Write, number: int, expected: Expected, verb: str, *states: State) -> Peer:
    peer = get(write, number)
    expected.check(peer.version, f"peer {number}")
    _check_state(peer, verb, *states)
    return peer


def _check_state(peer: Peer, verb: str, *states: State) -> None:
    if peer.state not in states:
        wanted = " or ".join(states)
        raise ConflictError(
            f"peer {peer.id} is {peer.state}: only one that is {wanted} can be {verb}",
            "wrong-state",
        )


def _gateway(write: Write, name: str) -> Gateway:
    gateway = gateways.find(write.connection, name)
    if gateway is None:
        missing = Problem("gateway", name, "no gateway has this name")
        raise ConflictError("the peer's gateway is not there", "no-gateway", (missing,))
    return gateway


def _check_name_free(write: Write, gateway: str, name: str) -> None:
    holder = peers.find_live(write.connection, gateway, name)
    if holder is not None:
        rule = f"peer {holder.id} ({holder.shown(write.now)}) at gateway {gateway} has this name"
        taken = Problem("name", name, rule)
        raise ConflictError("the name is taken", "name-taken", (taken,))
