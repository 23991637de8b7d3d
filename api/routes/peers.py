"""/v1/peers"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from api.auth import CallerOf, RegistryOf, needs
from api.records import Peer
from api.registry import peers
from api.registry.core import Write
from api.registry.permissions import Permission
from api.routes.conventions import ExpectedOf, Limit, OnceOf, Urgent, answer
from api.routes.models import Decision, PeerPage, PeerPatch, PeerView, Renewal
from api.routes.peer_models import PeerRequest
from api.routes.peer_search import FilterOf, OrderOf, cursor_after
from api.routes.peer_views import shown, views
from api.routes.previews import DryRun, Preview, preview

router = APIRouter(prefix="/v1/peers", tags=["peers"])
reads = Depends(needs(Permission.READ))
shows = Depends(needs(Permission.READ, Permission.OWN))
requests = Depends(needs(Permission.REQUEST))
edits = Depends(needs(Permission.REQUEST, Permission.DECIDE))
decides = Depends(needs(Permission.DECIDE))

Number = Annotated[int, Path(alias="id", ge=1, le=4294967295)]


def view(write: Write, peer: Peer, status: int = 200) -> Response:
    return answer(shown(write, peer), status, peer.version)


@router.get("", dependencies=[reads], response_model=PeerPage)
def list_peers(
    registry: RegistryOf, wanted: FilterOf, order: OrderOf, limit: Limit = 100
) -> Response:
    """Peers by id, or in another order; of every state unless one is asked for.

    Pages hold together whatever is registered meanwhile. No end is the latest end.
    """
    sort, after = order
    with registry.read() as read:
        found = peers.page(read, wanted, sort, after, limit + 1)
        items = views(read, found[:limit])
    more = cursor_after(found[limit - 1], sort) if len(found) > limit else None
    return answer(PeerPage(items=items, next=more))


@router.post("", dependencies=[requests], response_model=PeerView, status_code=201)
def request_peer(once: OnceOf, caller: CallerOf, body: PeerRequest) -> Response:
    """Asks for a registration. It is pending, and lets nobody in, until it is approved."""

    def work(write: Write) -> Response:
        peer = peers.request(write, body, caller, body.terms)
        response = view(write, peer, 201)
        response.headers["Location"] = f"/v1/peers/{peer.id}"
        return response

    return once(f"peer {body.name} requested", body, work)


@router.get("/{id:int}", dependencies=[shows], response_model=PeerView)
def show_peer(registry: RegistryOf, caller: CallerOf, number: Number) -> Response:
    """One peer; for an owner, its own."""
    caller.require_peer(number)
    with registry.read() as read:
        peer = peers.get(read, number)
        return answer(shown(read, peer), version=peer.version)


@router.patch("/{id:int}", dependencies=[edits], response_model=PeerView | Preview)
def edit_peer(
    registry: RegistryOf,
    caller: CallerOf,
    number: Number,
    expected: ExpectedOf,
    body: PeerPatch,
    dry_run: DryRun = False,
) -> Response:
    """Changes the fields that are sent. A pending peer: by a registrar; an approved one: by an
    approver, and at once in force. Under the four-eyes rule that only takes away: what lets in
    more is proposed."""
    if dry_run:
        return preview(
            registry,
            caller,
            expected,
            lambda write, expected: peers.edit(write, number, expected, body.fields, caller),
        )
    with registry.write(caller.actor, f"peer {number} edited") as write:
        return view(write, peers.edit(write, number, expected, body.fields, caller))


@router.post("/{id}/approve", dependencies=[decides], response_model=PeerView | Preview)
def approve_peer(
    once: OnceOf,
    caller: CallerOf,
    number: Number,
    expected: ExpectedOf,
    urgent: Urgent = False,
    dry_run: DryRun = False,
) -> Response:
    """Lets a pending peer in, inside its validity. Under the four-eyes rule not by a token that
    asked for it or edited it."""
    if dry_run:
        return preview(
            once.registry,
            caller,
            expected,
            lambda write, expected: peers.approve(write, number, expected, caller),
        )
    return once(
        f"peer {number} approved",
        None,
        lambda write: view(write, peers.approve(write, number, expected, caller)),
        urgent=urgent,
    )


@router.post("/{id}/reject", dependencies=[decides], response_model=PeerView)
def reject_peer(
    once: OnceOf,
    number: Number,
    expected: ExpectedOf,
    body: Decision,
) -> Response:
    """Turns a pending peer down."""
    return once(
        f"peer {number} rejected",
        body,
        lambda write: view(write, peers.reject(write, number, expected, body.reason)),
    )


@router.post("/{id}/revoke", dependencies=[decides], response_model=PeerView | Preview)
def revoke_peer(
    once: OnceOf,
    number: Number,
    expected: ExpectedOf,
    body: Decision,
    urgent: Urgent = False,
    dry_run: DryRun = False,
) -> Response:
    """Ends an approved peer now and for good."""
    if dry_run:
        return preview(
            once.registry,
            once.caller,
            expected,
            lambda write, expected: peers.revoke(write, number, expected, body.reason),
        )
    return once(
        f"peer {number} revoked",
        body,
        lambda write: view(write, peers.revoke(write, number, expected, body.reason)),
        urgent=urgent,
    )


@router.post("/{id}/renew", dependencies=[decides], response_model=PeerView | Preview)
def renew_peer(
    once: OnceOf,
    number: Number,
    expected: ExpectedOf,
    body: Renewal,
    urgent: Urgent = False,
    dry_run: DryRun = False,
) -> Response:
    """Gives an approved peer, expired or not, a new end. Who may not, or not alone, proposes it."""
    if dry_run:
        return preview(
            once.registry,
            once.caller,
            expected,
            lambda write, expected: peers.renew(write, number, expected, body.valid_until),
        )
    return once(
        f"peer {number} renewed",
        body,
        lambda write: view(write, peers.renew(write, number, expected, body.valid_until)),
        urgent=urgent,
    )
