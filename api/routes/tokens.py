"""/v1/tokens"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from api.auth import CallerOf, RegistryOf, needs
from api.records import Role
from api.registry import tokens
from api.registry.core import Write
from api.registry.permissions import Permission
from api.routes.conventions import Limit, NumberCursor, OnceOf, answer
from api.routes.models import IssuedToken, NewToken, TokenPage, TokenView
from policy.document import Name

router = APIRouter(
    prefix="/v1/tokens", tags=["tokens"], dependencies=[Depends(needs(Permission.TOKENS))]
)
Number = Annotated[int, Path(alias="id", ge=1, le=2**53)]


@router.get("", response_model=TokenPage)
def list_tokens(
    registry: RegistryOf,
    role: Annotated[Role | None, Query()] = None,
    router: Annotated[Name | None, Query(description="whose agent's they are")] = None,
    cursor: NumberCursor = None,
    limit: Limit = 100,
) -> Response:
    """Tokens that were not revoked, without their secrets."""
    with registry.read() as read:
        found = tokens.page(read, int(cursor or 0), limit + 1, role=role, router=router)
    items = [TokenView.of(token) for token in found[:limit]]
    return answer(TokenPage(items=items, next=str(items[-1].id) if len(found) > limit else None))


@router.post("", response_model=IssuedToken, status_code=201)
def issue_token(once: OnceOf, body: NewToken) -> Response:
    """A new token. Its text is in this answer alone: one sent twice with the same
    `Idempotency-Key` is not made twice, but the text is not shown again (409)."""

    def work(write: Write) -> Response:
        token, text = tokens.issue(write, body.name, body.role, body.expires, body.router)
        shown = TokenView.of(token).model_dump()
        return answer(IssuedToken(**shown, token=text), 201)

    return once(f"token {body.name} made", body, work, secret=True)


@router.delete("/{id}", status_code=204)
def revoke_token(registry: RegistryOf, caller: CallerOf, number: Number) -> None:
    """Ends a token, at every process within a second. The last admin token stays."""
    with registry.write(caller.actor, f"token {number} revoked") as write:
        tokens.revoke(write, number)
