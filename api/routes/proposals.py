"""/v1/peers/{id}: propose a change of an approved peer; grant it, or decline it"""

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.responses import Response

from api.auth import CallerOf, needs
from api.records import Peer
from api.registry import proposals
from api.registry.core import Expected, Write
from api.registry.permissions import Permission
from api.routes.conventions import ExpectedOf, OnceOf
from api.routes.models import Decision, PeerPatch, PeerView
from api.routes.peers import Number, view
from api.routes.previews import DryRun, Preview, preview
from policy.document import Text

router = APIRouter(prefix="/v1/peers", tags=["peers"])
proposes = Depends(needs(Permission.REQUEST, Permission.DECIDE))
decides = Depends(needs(Permission.DECIDE))


class ProposedChange(PeerPatch):
    """What is to change of an approved peer; the rest stays."""

    reason: Text | None = Field(default=None, examples=["the branch moves in January"])


@router.post("/{id}/propose", dependencies=[proposes], response_model=PeerView | Preview)
def propose_change(
    once: OnceOf,
    caller: CallerOf,
    number: Number,
    expected: ExpectedOf,
    body: ProposedChange,
    dry_run: DryRun = False,
) -> Response:
    """Asks for a change of an approved peer: a renewal, other sources. Nothing changes until it is
    granted, and a dry run says what that would do. It takes the place of a proposal before it."""

    def work(write: Write, expected: Expected) -> Peer:
        peer = proposals.propose(write, number, expected, body.fields, body.reason, caller)
        proposals.foresee(write, peer)
        return peer

    if dry_run:
        return preview(once.registry, caller, expected, work)
    return once(
        f"change of peer {number} proposed", body, lambda write: view(write, work(write, expected))
    )


@router.post("/{id}/grant", dependencies=[decides], response_model=PeerView | Preview)
def grant_change(
    once: OnceOf,
    caller: CallerOf,
    number: Number,
    expected: ExpectedOf,
    dry_run: DryRun = False,
) -> Response:
    """Puts what was proposed in force. Under the four-eyes rule not by the token that proposed
    it."""
    if dry_run:
        return preview(
            once.registry,
            caller,
            expected,
            lambda write, expected: proposals.grant(write, number, expected, caller),
        )
    return once(
        f"change of peer {number} granted",
        None,
        lambda write: view(write, proposals.grant(write, number, expected, caller)),
    )


@router.post("/{id}/decline", dependencies=[decides], response_model=PeerView)
def decline_change(once: OnceOf, number: Number, expected: ExpectedOf, body: Decision) -> Response:
    """Turns down what was proposed; the peer stays as it is."""
    return once(
        f"change of peer {number} declined",
        body,
        lambda write: view(write, proposals.decline(write, number, expected, body.reason)),
    )
