"""/v1/sign-offs"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from api.auth import CallerOf, RegistryOf, needs
from api.registry import sign_offs
from api.registry.core import Write
from api.registry.permissions import Permission
from api.routes.conventions import ExpectedOf, Limit, NumberCursor, OnceOf, answer
from api.routes.stranger_models import NewSignOff, SignOffPage, SignOffView
from policy.document import Name

router = APIRouter(prefix="/v1/sign-offs", tags=["strangers"])
reads = Depends(needs(Permission.READ))
signs_off = Depends(needs(Permission.SIGN_OFF))
Number = Annotated[int, Path(alias="id", ge=1, le=2**53)]


@router.get("", dependencies=[reads], response_model=SignOffPage)
def list_sign_offs(
    registry: RegistryOf,
    gateway: Annotated[Name | None, Query()] = None,
    cursor: NumberCursor = None,
    limit: Limit = 100,
) -> Response:
    """Sign-offs that were not taken back, those that have ended among them, by id."""
    with registry.read() as read:
        found = sign_offs.page(read, gateway, int(cursor or 0), limit + 1)
    items = [SignOffView.of(each) for each in found[:limit]]
    return answer(SignOffPage(items=items, next=str(items[-1].id) if len(found) > limit else None))


@router.post("", dependencies=[signs_off], response_model=SignOffView, status_code=201)
def sign_off(once: OnceOf, body: NewSignOff) -> Response:
    """Strangers of this prefix at this gateway are ignored on purpose: it lets nobody in, and
    holds up no cut-over."""

    def work(write: Write) -> Response:
        made = sign_offs.sign_off(write, body.gateway, body.prefix, body.reason, body.until)
        response = answer(SignOffView.of(made), 201, sign_offs.VERSION)
        response.headers["Location"] = f"/v1/sign-offs/{made.id}"
        return response

    return once(f"strangers at {body.gateway} signed off", body, work)


@router.get("/{id}", dependencies=[reads], response_model=SignOffView)
def show_sign_off(registry: RegistryOf, number: Number) -> Response:
    """One sign-off."""
    with registry.read() as read:
        found = sign_offs.get(read, number)
    return answer(SignOffView.of(found), version=sign_offs.VERSION)


@router.delete("/{id}", dependencies=[signs_off], status_code=204)
def take_back(registry: RegistryOf, caller: CallerOf, number: Number, expected: ExpectedOf) -> None:
    """These strangers count again."""
    with registry.write(caller.actor, f"sign-off {number} taken back") as write:
        sign_offs.take_back(write, number, expected)
