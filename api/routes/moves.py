"""/v1/peers/{id}: its owner's token, and what that may do"""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.auth import CallerOf, RegistryOf, needs
from api.origin import OriginOf
from api.registry import moves
from api.registry.core import Expected, Write
from api.registry.permissions import Caller, Permission
from api.routes.conventions import ExpectedOf, OnceOf, answer
from api.routes.models import IssuedToken, PeerView, TokenView
from api.routes.peer_views import shown
from api.routes.peers import Number, view
from api.routes.previews import DryRun, Preview, preview
from policy.document import SOURCES_PER_PEER, Document, Moment, Name, Source

router = APIRouter(prefix="/v1/peers", tags=["peers"])
decides = Depends(needs(Permission.DECIDE))


def _owner(number: Number, caller: Annotated[Caller, Depends(needs(Permission.OWN))]) -> None:
    caller.require_peer(number)


owns = Depends(_owner)


class OwnerToken(Document):
    """Its name is the peer's, unless said."""

    name: Name | None = Field(default=None, examples=["branch-7-cron"])
    expires: Moment | None = None


class Sources(Document):
    sources: Annotated[tuple[Source, ...], Field(min_length=1, max_length=SOURCES_PER_PEER)]


class _Call(BaseModel):
    """What tells one call from another, for those that are sent twice with one key."""

    address: str


@router.post("/{id}/token", dependencies=[decides], response_model=IssuedToken, status_code=201)
def issue_owner_token(once: OnceOf, number: Number, body: OwnerToken) -> Response:
    """A token for this peer alone: it reads the peer and moves its sources, within their bounds.
    The one before it ends, and this one with the peer. Its text is in this answer alone."""

    def work(write: Write) -> Response:
        token, text = moves.issue_token(write, number, body.name, body.expires)
        return answer(IssuedToken(**TokenView.of(token).model_dump(), token=text), 201)

    return once(f"token for peer {number} made", body, work, secret=True)


@router.delete("/{id}/token", dependencies=[decides], status_code=204)
def revoke_owner_token(registry: RegistryOf, caller: CallerOf, number: Number) -> None:
    """Ends the token of this peer."""
    with registry.write(caller.actor, f"token for peer {number} revoked") as write:
        moves.revoke_token(write, number)


@router.put("/{id}/sources", dependencies=[owns], response_model=PeerView | Preview)
def move_sources(
    registry: RegistryOf,
    caller: CallerOf,
    number: Number,
    expected: ExpectedOf,
    body: Sources,
    dry_run: DryRun = False,
) -> Response:
    """All sources of one's own peer anew, in force at once."""
    wanted = body.model_dump(mode="json")["sources"]
    if dry_run:
        return preview(
            registry,
            caller,
            expected,
            lambda write, expected: moves.move(write, number, expected, wanted),
        )
    with registry.write(caller.actor, f"sources of peer {number} moved") as write:
        peer = moves.move(write, number, expected, wanted)
        return view(write, peer)


@router.post("/{id}/here", dependencies=[owns], response_model=PeerView | Preview)
def move_here(
    registry: RegistryOf,
    once: OnceOf,
    origin: OriginOf,
    number: Number,
    dry_run: DryRun = False,
) -> Response:
    """The address that this call comes from is a source of one's own peer, in place of the one
    that the call before came from. For IPv6 it is the prefix around it, of the length that the
    bounds say. Nothing changes where that is so already: call as often as you like."""
    if dry_run:
        return preview(
            registry, once.caller, Expected(), lambda write, _: moves.here(write, number, origin)
        )
    with registry.read() as read:
        if (peer := moves.is_here(read, number, origin)) is not None:
            return answer(shown(read, peer), version=peer.version)
    return once(
        f"peer {number} moved to where it calls from",
        _Call(address=str(origin.address)),
        lambda write: view(write, moves.here(write, number, origin)),
    )
