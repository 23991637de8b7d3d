"""Lines that were checked become new peers."""

from collections.abc import Callable
from dataclasses import dataclass

from api.records import Peer, State
from api.registry import many
from api.registry.admission import Admission
from api.registry.core import Read, Registry, Write
from api.registry.foreseen import Foreseen, unborn
from api.registry.lines import Line, Lines
from api.registry.permissions import Caller
from api.store import gateways as gateway_rows
from api.store import peers as peer_rows
from policy.errors import Problem

# Told how many lines are done. Raises where nobody wants the import any more.
Tell = Callable[[int], None]
Key = tuple[str, str]


@dataclass(slots=True)
class Counts:
    """How many peers were, or would be; `ended` are lines of such as were left out."""

    added: int = 0
    changed: int = 0
    approved: int = 0
    revoked: int = 0
    unchanged: int = 0
    ended: int = 0


def check_new(
    registry: Registry, lines: Lines, tell: Tell, *, caller: Caller, terms: str | None
) -> None:
    """Raises RefusedError where lines do not fit what is registered now, and ForbiddenError. It
    holds nothing up."""
    with registry.read() as read:
        lines.check_gateways(gateway_rows.ids(read.connection))
        admission = Admission.at(read, caller, terms)
    done = 0
    for batch in lines.batches():
        # One state for each batch: what is taken after that is found when it is written.
        with registry.read() as read:
            held = held_among(read, batch)
        for line in batch:
            with lines.complaints.at(line.number):
                admission.new(line.content, line.state)
            if (holder := held.get(key_of(line))) is not None:
                gateway, state = holder.gateway, holder.state
                rule = f"peer {holder.id} ({state}) at gateway {gateway} has this name"
                lines.complaints.add(line.number, Problem("name", holder.name, rule))
        done += len(batch)
        tell(done)
    lines.refuse()


def add(write: Write, lines: Lines, tell: Tell, *, caller: Caller, terms: str | None) -> Counts:
    """All of them are new, or nothing is written."""
    admission = Admission.at(write, caller, terms)
    counts = Counts(ended=lines.ended)
    for batch in lines.batches():
        admitted = ((admission.new(line.content, line.state), line.state) for line in batch)
        many.add(write, admitted, caller, terms)
        counts.added += len(batch)
        tell(counts.added)
    return counts


def foresee(foreseen: Foreseen, lines: Lines, tell: Tell) -> None:
    """Notes those that would be let in, and writes nothing."""
    done = 0
    for batch in lines.batches():
        for line in batch:
            if line.state is State.APPROVED:
                fields = many.fields_of(line.content)
                foreseen.note(None, unborn(line.content["gateway"], fields, foreseen.now))
        done += len(batch)
        tell(done)


def key_of(line: Line) -> Key:
    return line.content["gateway"], line.content["name"]


def held_among(state: Read | Write, batch: list[Line]) -> dict[Key, Peer]:
    """Those who live under the names of these lines."""
    ids = gateway_rows.ids(state.connection)
    names: dict[int, list[str]] = {}
    for line in batch:
        gateway, name = key_of(line)
        if (number := ids.get(gateway)) is not None:
            names.setdefault(number, []).append(name)
    return peer_rows.live_among(state.connection, names)
