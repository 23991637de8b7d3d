"""/v1/strangers"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from api.auth import CallerOf, RegistryOf, needs
from api.ownership import Ownership
from api.registry import strangers
from api.registry.core import Write
from api.registry.permissions import Permission
from api.reverse import ReverseNames
from api.routes.conventions import Limit, OnceOf, answer
from api.routes.models import PeerView
from api.routes.peer_views import shown
from api.routes.stranger_models import (
    StrangerDetails,
    StrangerPage,
    StrangerRegistration,
    StrangerSummary,
    StrangerView,
)
from api.routes.stranger_search import FilterOf, OrderOf, cursor_at
from api.stranger_records import MOST
from policy.document import Name

router = APIRouter(tags=["strangers"])
reads = Depends(needs(Permission.READ))
Number = Annotated[int, Path(alias="id", ge=1, le=MOST)]


def ownership_of(request: Request) -> Ownership:
    ownership: Ownership = request.app.state.ownership
    return ownership


OwnershipOf = Annotated[Ownership, Depends(ownership_of)]


@router.get("/v1/strangers", dependencies=[reads], response_model=StrangerPage)
def list_strangers(
    registry: RegistryOf,
    ownership: OwnershipOf,
    wanted: FilterOf,
    order: OrderOf,
    covered: Annotated[
        bool, Query(description="also those that a registration covers, pending or not ended")
    ] = False,
    signed_off: Annotated[bool, Query(description="also those that are signed off")] = False,
    limit: Limit = 100,
) -> Response:
    """Sources without a registration, or whose registration has ended, that were seen talking to
    gateways; the most persistent first.

    Each has its estimates' standard error. Kept for 30 days after they were last seen, or until
    more persistent ones need the room. What routers report meanwhile may move one between pages.
    """
    sort, after = order
    with registry.read() as read:
        found = strangers.page(
            read, wanted, sort, after, limit, covered=covered, signed_off=signed_off
        )
    items = [StrangerView.of(each, ownership.find(each.stranger.source)) for each in found.items]
    more = None if found.next is None else cursor_at(found.next, sort)
    return answer(StrangerPage(items=items, next=more))


@router.get("/v1/strangers/{id}", dependencies=[reads], response_model=StrangerDetails)
def show_stranger(
    request: Request, registry: RegistryOf, ownership: OwnershipOf, number: Number
) -> Response:
    """One stranger: a source, at one gateway and with one service."""
    with registry.read() as read:
        known = strangers.get(read, number)
    source = known.stranger.source
    view = StrangerView.of(known, ownership.find(source))
    reverse: ReverseNames = request.app.state.reverse_names
    names = reverse.of(source)
    told = None if names is None else list(names)
    return answer(StrangerDetails(**view.model_dump(), names=told))


@router.post(
    "/v1/strangers/{id}/register",
    dependencies=[Depends(needs(Permission.REQUEST))],
    response_model=PeerView,
    status_code=201,
)
def register_stranger(
    once: OnceOf,
    caller: CallerOf,
    ownership: OwnershipOf,
    number: Number,
    body: StrangerRegistration,
) -> Response:
    """Asks for a registration of its source at its gateway, as POST /v1/peers does: it is pending,
    and the rules hold for it. What is left out is made of the stranger, and of the operator's own
    list of prefixes."""

    def work(write: Write) -> Response:
        peer = strangers.register(
            write,
            number,
            body.fields,
            caller,
            prefix_length=body.prefix_length,
            terms=body.terms,
            ownership=ownership,
        )
        response = answer(shown(write, peer), 201, peer.version)
        response.headers["Location"] = f"/v1/peers/{peer.id}"
        return response

    return once(f"stranger {number} requested", body, work)


@router.get("/v1/gateways/{name}/strangers", dependencies=[reads], response_model=StrangerSummary)
def count_strangers(registry: RegistryOf, name: Annotated[Name, Path()]) -> Response:
    """How many strangers a gateway has, and by day how many packets of strangers, by its routers'
    counters."""
    with registry.read() as read:
        return answer(StrangerSummary.of(strangers.summary(read, name)))
