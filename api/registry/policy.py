"""The whole registry as one document: exported, and made to match one."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_network

from api.errors import ConflictError, ForbiddenError, RefusedError
from api.event_types import EventType
from api.records import Gateway, Json, Peer, State
from api.registry import cutovers, gateways, many, peers, rules
from api.registry.core import Expected, Read, Write
from api.registry.foreseen import Foreseen, unborn
from api.registry.lines import NAMED
from api.registry.permissions import Caller
from api.store import gateways as gateway_rows
from api.store import peers as peer_rows
from policy.document import BoundsSpec, GatewaySpec, Policy, PolicyPeer, policy_problems

# All live peers are held in memory at once: some 4 KB each.
MOST = 50_000

Fields = dict[str, tuple[Json, Json]]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs, and what makes it match. `fields` has before and after."""

    kind: str
    name: str
    gateway: str
    action: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the document says against what the registry holds; `kept` is what it says in vain."""

    add_gateways: tuple[GatewaySpec, ...]
    change_gateways: tuple[tuple[Gateway, GatewaySpec], ...]
    remove_gateways: tuple[Gateway, ...]
    add_peers: tuple[PolicyPeer, ...]
    match_peers: tuple[tuple[Peer, PolicyPeer], ...]
    revoke_peers: tuple[Peer, ...]
    kept: tuple[str, ...] = ()

    @property
    def differences(self) -> tuple[Difference, ...]:
        return (
            *(_gateway("add", spec, differing({}, _json(spec))) for spec in self.add_gateways),
            *(
                _gateway("change", spec, differing(_json(before.spec), _json(spec)))
                for before, spec in self.change_gateways
            ),
            *(
                _peer("add", spec.gateway, spec.name, differing({}, _json(spec)))
                for spec in self.add_peers
            ),
            *(
                _peer(
                    "approve" if before.state is State.PENDING else "change",
                    before.gateway,
                    before.name,
                    differing(peers.registered(before), _json(spec)),
                )
                for before, spec in self.match_peers
            ),
            *(
                _peer("revoke", peer.gateway, peer.name, differing(peers.registered(peer), {}))
                for peer in self.revoke_peers
            ),
            *(
                _gateway("remove", gateway.spec, differing(_json(gateway.spec), {}))
                for gateway in self.remove_gateways
            ),
        )

    def foresee(self, now: datetime) -> Foreseen:
        """What the document would make of peers and gateways."""
        found = Foreseen(now)
        for spec in self.add_gateways:
            found.note(None, Gateway(0, spec, 0, now, now))
        for gateway, wanted in self.change_gateways:
            found.note(gateway, replace(gateway, spec=wanted))
        for gateway in self.remove_gateways:
            found.note(gateway, None)
        for peer in self.revoke_peers:
            found.note(peer, None)
        for peer, meant in self.match_peers:
            found.note(peer, replace(peers.filled(peer, meant), state=State.APPROVED))
        for named in self.add_peers:
            found.note(None, unborn(named.gateway, many.fields_of(_json(named)), now))
        return found


def compare(state: Read | Write, wanted: Policy, caller: Caller) -> Comparison:
    """Pending peers that the document does not name are left alone.

    Raises ForbiddenError where it lets in what by the four-eyes rule takes two, and ConflictError
    where there are more peers than are compared at once.
    """
    if peer_rows.count_live(state.connection) > MOST:
        raise ConflictError(
            f"there are more than {MOST} peers: send the document as lines to "
            "POST /v1/policy/import, as `peergate apply` does with a file by itself",
            "too-many-peers",
        )
    if problems := policy_problems(wanted):
        raise RefusedError("the policy is refused as a whole", "", problems)
    held_gateways = {g.name: g for g in gateway_rows.every(state.connection)}
    specs, kept = cutovers.meant(state, held_gateways, wanted.gateways)
    held_peers = {(p.gateway, p.name): p for p in peer_rows.live(state.connection)}
    _check_removable(held_gateways, held_peers, wanted)
    named_gateways = {spec.name for spec in wanted.gateways}
    named_peers = {(spec.gateway, spec.name) for spec in wanted.peers}
    found = Comparison(
        add_gateways=tuple(s for s in specs if s.name not in held_gateways),
        change_gateways=tuple(
            (held, spec)
            for spec in specs
            if (held := held_gateways.get(spec.name)) is not None and held.spec != spec
        ),
        remove_gateways=tuple(g for n, g in held_gateways.items() if n not in named_gateways),
        add_peers=tuple(s for s in wanted.peers if (s.gateway, s.name) not in held_peers),
        match_peers=tuple(
            (peer, spec)
            for peer, spec in _matching(held_peers, wanted)
            if peer.state is State.PENDING or peers.registered(peer) != _json(spec)
        ),
        revoke_peers=tuple(
            peer
            for key, peer in held_peers.items()
            if peer.state is State.APPROVED and key not in named_peers
        ),
        kept=kept,
    )
    _check_rules(state, wanted, found, caller)
    return found


def apply(write: Write, wanted: Policy, expected: Expected, caller: Caller) -> Comparison:
    """Makes the registry match, in this one transaction."""
    expected.check(write.head.policy_version, "the policy")
    found = compare(write, wanted, caller)
    for spec in found.add_gateways:
        gateways.add(write, spec)
    for gateway, spec in found.change_gateways:
        gateways.save(write, gateway, spec)
    many.save(write, many.revocations(write, found.revoke_peers))
    many.save(
        write,
        ((before, many.matched(write, before, _json(spec))) for before, spec in found.match_peers),
    )
    many.add(write, ((_json(spec), State.APPROVED) for spec in found.add_peers), caller)
    for gateway in found.remove_gateways:
        gateways.remove(write, gateway.name, Expected(any_version=True))
    done = found.differences
    if done:
        counts = Counter(f"{each.action} {each.kind}" for each in done)
        write.tell(EventType.POLICY_APPLIED, None, {"changes": dict(counts)})
    return found


def _check_rules(state: Read | Write, wanted: Policy, found: Comparison, caller: Caller) -> None:
    in_force = rules.current(state)
    changed = [(before, peers.filled(before, spec)) for before, spec in found.match_peers]
    windows = {
        (spec.gateway, spec.name): (spec.valid_from, spec.valid_until) for spec in found.add_peers
    }
    windows |= {
        (after.gateway, after.name): (after.valid_from, after.valid_until)
        for before, after in changed
        if (after.valid_from, after.valid_until) != (before.valid_from, before.valid_until)
    }
    problems = []
    for place, spec in enumerate(wanted.peers):
        if (window := windows.get((spec.gateway, spec.name))) is None:
            continue
        try:
            rules.check_validity(in_force, state.now, *window)
        except RefusedError as error:
            problems += [replace(p, field=f"peers[{place}].{p.field}") for p in error.problems]
    if problems:
        message = "the policy is refused as a whole"
        raise RefusedError(message, "", tuple(problems[:NAMED]), len(problems))
    if not in_force.four_eyes:
        return
    alone = [f"{spec.name} at {spec.gateway}" for spec in found.add_peers]
    alone += [
        f"{before.name} at {before.gateway}"
        for before, after in changed
        if rules.lets_more_in(before, after)
        or (before.state is State.PENDING and caller.identity in before.authors)
    ]
    if alone:
        more = f" and {len(alone) - 10} more" if len(alone) > 10 else ""
        raise ForbiddenError(
            f"the policy lets in what nobody else has approved: {', '.join(alone[:10])}{more}. By "
            "the four-eyes rule request these peers, or propose what changes, and have another "
            "approver decide",
            "four-eyes",
        )


def _matching(
    held: dict[tuple[str, str], Peer], wanted: Policy
) -> Iterator[tuple[Peer, PolicyPeer]]:
    """With the bounds there are, where none are said. Where an owner moves the sources, and goes
    on doing so, these stay as they are, and are not the document's."""
    for spec in wanted.peers:
        peer = held.get((spec.gateway, spec.name))
        if peer is None:
            continue
        stays: dict[str, object] = {}
        bounds = spec.bounds
        if "bounds" not in spec.model_fields_set:
            bounds = None if peer.bounds is None else BoundsSpec.model_validate(peer.bounds.written)
            stays["bounds"] = bounds
        if peer.state is State.APPROVED and peer.bounds is not None and bounds is not None:
            stays["sources"] = tuple(map(ip_network, peer.sources))
        yield peer, spec.model_copy(update=stays)


def _check_removable(
    held: dict[str, Gateway], held_peers: dict[tuple[str, str], Peer], wanted: Policy
) -> None:
    """A pending peer keeps its gateway: somebody waits for an answer."""
    going = held.keys() - {spec.name for spec in wanted.gateways}
    waiting = [
        peer
        for peer in held_peers.values()
        if peer.gateway in going and peer.state is State.PENDING
    ]
    if waiting:
        raise gateways.waited_at(waiting)


def _json(spec: GatewaySpec | PolicyPeer) -> dict[str, Json]:
    return spec.model_dump(mode="json")


def differing(before: dict[str, Json], after: dict[str, Json]) -> Fields:
    """Before and after, of what is not the same."""
    names = dict.fromkeys((*before, *after))
    pairs = {name: (before.get(name), after.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _gateway(action: str, spec: GatewaySpec, fields: Fields) -> Difference:
    return Difference("gateway", spec.name, spec.name, action, fields)


def _peer(action: str, gateway: str, name: str, fields: Fields) -> Difference:
    return Difference("peer", name, gateway, action, fields)
