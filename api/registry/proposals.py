"""Changes of approved peers that one asks for and another one grants."""

from collections.abc import Mapping
from dataclasses import replace

from api.errors import ConflictError
from api.records import Json, Peer, Proposal, State
from api.registry import peers, rules
from api.registry.core import Expected, Write
from api.registry.permissions import Caller


def propose(
    write: Write,
    number: int,
    expected: Expected,
    fields: Mapping[str, Json],
    reason: str | None,
    caller: Caller,
) -> Peer:
    """Takes the place of a proposal before; refused where it could not be granted now."""
    before = peers.decidable(write, number, expected, "proposed to change", State.APPROVED)
    if peers.edited(write, before, fields) == before:
        raise ConflictError(f"peer {number} is like that already", "nothing-proposed")
    proposal = Proposal(dict(fields), reason, caller.identity, write.now, caller.name)
    return peers.save(write, before, replace(before, proposal=proposal), "peer.propose")


def grant(write: Write, number: int, expected: Expected, caller: Caller) -> Peer:
    """What was proposed is in force at once."""
    before, proposal = _open(write, number, expected)
    what = f"the change of peer {number}"
    rules.check_eyes(rules.current(write), caller, (proposal.author,), what)
    return peers.save(write, before, _granted(write, before, proposal), "peer.grant")


def foresee(write: Write, proposed: Peer) -> None:
    """What it would be to grant this: a proposal by itself changes nothing."""
    if write.foreseen is not None and proposed.proposal is not None:
        write.foreseen.note(proposed, _granted(write, proposed, proposed.proposal))


def decline(write: Write, number: int, expected: Expected, reason: str) -> Peer:
    """It stays to be read, with the reason, until there is another one."""
    before, proposal = _open(write, number, expected)
    declined = replace(proposal, declined=reason, declined_by=write.author)
    return peers.save(write, before, replace(before, proposal=declined), "peer.decline")


def _granted(write: Write, before: Peer, proposal: Proposal) -> Peer:
    return replace(peers.edited(write, before, proposal.fields), proposal=None)


def _open(write: Write, number: int, expected: Expected) -> tuple[Peer, Proposal]:
    peer = peers.decidable(write, number, expected, "changed", State.APPROVED)
    if peer.proposal is None or peer.proposal.declined is not None:
        raise ConflictError(f"nobody proposes to change peer {number}", "nothing-proposed")
    return peer, peer.proposal
