"""The registry made to match lines: approved peers, or a whole policy of any length."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from api.records import Gateway, Json, Peer, State
from api.registry import cutovers, gateways, many, peers
from api.registry.admission import Admission
from api.registry.core import Expected, Read, Write
from api.registry.foreseen import unborn
from api.registry.imports import Counts, Tell, held_among, key_of
from api.registry.lines import Line, Lines
from api.registry.permissions import Caller
from api.store import gateways as gateway_rows
from api.store import peers as peer_rows
from policy.offers import offer_problems


@dataclass(slots=True)
class GatewayCounts:
    """`kept` is what was said of gateways in vain, as text."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Step:
    """What some lines come to: new peers, old ones that change, and such as no line names."""

    fresh: tuple[Line, ...] = ()
    changed: tuple[tuple[Peer, Line], ...] = ()
    going: tuple[Peer, ...] = ()
    same: int = 0


def check_policy(lines: Lines) -> None:
    """Raises RefusedError where gateways do not go together, or a peer names none of them."""
    for problem in offer_problems(spec.offer for spec in lines.gateways):
        lines.complaints.add(None, problem)
    lines.check_gateways({spec.name for spec in lines.gateways})
    lines.refuse()


def check_gateways(read: Read, lines: Lines) -> None:
    """Raises RefusedError where a peer names none that is there."""
    lines.check_gateways(gateway_rows.ids(read.connection))
    lines.refuse()


def match_policy(
    state: Read | Write, lines: Lines, tell: Tell, *, caller: Caller
) -> tuple[Counts, GatewayCounts]:
    """Gateways and approved peers are then those of the lines. A Read only says what would be."""
    held = {gateway.name: gateway for gateway in gateway_rows.every(state.connection)}
    specs, kept = cutovers.meant(state, held, lines.gateways)
    wanted = {spec.name: spec for spec in specs}
    new = [spec for spec in specs if spec.name not in held]
    differing = [
        (gateway, wanted[name])
        for name, gateway in held.items()
        if name in wanted and wanted[name] != gateway.spec
    ]
    going = [gateway for name, gateway in held.items() if name not in wanted]
    waiting = peer_rows.pending_at(state.connection, [gateway.id for gateway in going])
    if waiting:
        raise gateways.waited_at(waiting)
    if isinstance(state, Write):
        for spec in new:
            gateways.add(state, spec)
        for gateway, spec in differing:
            gateways.save(state, gateway, spec)
    elif state.foreseen is not None:
        now = state.now
        for spec in new:
            state.foreseen.note(None, Gateway(0, spec, 0, now, now))
        for gateway, spec in differing:
            state.foreseen.note(gateway, replace(gateway, spec=spec))
        for gateway in going:
            state.foreseen.note(gateway, None)
    counts = match_peers(state, lines, tell, caller=caller)
    if isinstance(state, Write):
        for gateway in going:
            gateways.remove(state, gateway.name, Expected(any_version=True))
    return counts, GatewayCounts(len(new), len(differing), len(going), kept)


def match_peers(state: Read | Write, lines: Lines, tell: Tell, *, caller: Caller) -> Counts:
    """Approved peers are then those of the lines; pending ones that no line names stay. A Read
    only says what would be. Raises RefusedError with what breaks the rules, and ForbiddenError."""
    admission = Admission.at(state, caller)
    counts = Counts(ended=lines.ended)
    for step in _steps(state, lines, tell):
        _check_rules(admission, step, lines)
        if isinstance(state, Read):
            _foresee(state, step)
        elif not lines.complaints.total:
            _carry_out(state, step, caller)
        waited = sum(before.state is State.PENDING for before, _ in step.changed)
        counts.added += len(step.fresh)
        counts.approved += waited
        counts.changed += len(step.changed) - waited
        counts.revoked += len(step.going)
        counts.unchanged += step.same
    lines.refuse()
    return counts


def _steps(state: Read | Write, lines: Lines, tell: Tell) -> Iterator[_Step]:
    newest = peer_rows.newest(state.connection)
    # A bit for each id: a set of a million numbers would take 70 MB.
    named = bytearray(newest // 8 + 1)
    done = 0
    for batch in lines.batches():
        held = held_among(state, batch)
        fresh: list[Line] = []
        changed: list[tuple[Peer, Line]] = []
        for line in batch:
            peer = held.get(key_of(line))
            if peer is None:
                fresh.append(line)
                continue
            named[peer.id // 8] |= 1 << peer.id % 8
            meant = _meant(peer, line)
            if peer.state is State.PENDING or peers.registered(peer) != meant.content:
                changed.append((peer, meant))
        same = len(batch) - len(fresh) - len(changed)
        yield _Step(tuple(fresh), tuple(changed), same=same)
        done += len(batch)
        tell(done)
    for some in peer_rows.batches(state.connection, State.APPROVED):
        going = (p for p in some if p.id <= newest and not named[p.id // 8] >> p.id % 8 & 1)
        yield _Step(going=tuple(going))
        tell(done)


def _meant(peer: Peer, line: Line) -> Line:
    """With the bounds there are, if it says none. Where an owner moves the sources, and goes on
    doing so, these stay as they are, and are not the line's."""
    content: dict[str, Json] = {
        "bounds": None if peer.bounds is None else peer.bounds.written
    } | line.content
    if peer.state is State.APPROVED and peer.bounds is not None and content["bounds"] is not None:
        content["sources"] = list(peer.sources)
    return replace(line, content=content)


def _check_rules(admission: Admission, step: _Step, lines: Lines) -> None:
    for line in step.fresh:
        with lines.complaints.at(line.number):
            admission.new(line.content, State.APPROVED)
    for before, line in step.changed:
        with lines.complaints.at(line.number):
            admission.change(before, replace(before, **many.fields_of(line.content)))


def _foresee(read: Read, step: _Step) -> None:
    if read.foreseen is None:
        return
    for peer in step.going:
        read.foreseen.note(peer, None)
    for before, line in step.changed:
        fields = many.fields_of(line.content)
        read.foreseen.note(before, replace(before, state=State.APPROVED, **fields))
    for line in step.fresh:
        fields = many.fields_of(line.content)
        read.foreseen.note(None, unborn(line.content["gateway"], fields, read.now))


def _carry_out(write: Write, step: _Step, caller: Caller) -> None:
    many.save(write, many.revocations(write, step.going))
    many.save(
        write,
        ((before, many.matched(write, before, line.content)) for before, line in step.changed),
    )
    many.add(write, ((line.content, State.APPROVED) for line in step.fresh), caller)
