"""/v1/session: a browser's, in place of the token that it came with"""

import logging
from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api import session_cookie
from api.auth import RegistryOf, needs
from api.errors import NotFoundError
from api.origin import OriginOf
from api.records import Role
from api.registry import sessions
from api.registry.permissions import MATRIX, Caller, Permission
from api.routes.conventions import answer

router = APIRouter(prefix="/v1/session", tags=["session"])
# The page shows what only readers may see.
Reader = Annotated[Caller, Depends(needs(Permission.READ))]
_log = logging.getLogger("peergate.api")


class SessionView(BaseModel):
    name: str = Field(description="as the audit trail has it")
    role: Role
    may: list[str] = Field(description="what the role allows", examples=[["read", "request"]])
    expires: datetime | None = Field(description="null: the token does not end by itself")

    @classmethod
    def of(cls, caller: Caller, expires: datetime | None) -> Self:
        may = sorted(each.name.lower() for each in MATRIX[caller.role])
        return cls(name=caller.name, role=caller.role, may=may, expires=expires)


@router.get("", response_model=SessionView)
def show_session(caller: Reader) -> Response:
    """Who is calling, and what they may do; also with a token."""
    response = answer(SessionView.of(caller, caller.expires))
    response.headers["Cache-Control"] = "no-store"
    return response


@router.post("", response_model=SessionView, status_code=201)
def begin_session(
    request: Request, registry: RegistryOf, origin: OriginOf, caller: Reader
) -> Response:
    """A cookie in place of the token that this is sent with: for 12 hours, or until the token ends
    or is revoked. It is good for the registry's own page: what changes something needs the header
    `Peergate-Page` with it. Of more than 20 of one token the oldest end."""
    secret, expires = sessions.begin(registry, caller, until=caller.expires)
    _log.info(
        "%s signed in at the page from %s (request %s)", caller.name, origin.address, origin.request
    )
    response = answer(SessionView.of(caller, expires), 201)
    session_cookie.give(response, secret, expires, secure=session_cookie.is_secure(request))
    return response


@router.delete("", status_code=204, dependencies=[Depends(needs(Permission.READ))])
def end_session(request: Request, registry: RegistryOf) -> Response:
    """Ends the session that this is sent with."""
    secret = session_cookie.secret_in(request)
    if secret is None:
        raise NotFoundError("this request came with no session, so there is none to end")
    sessions.end(registry, secret)
    return session_cookie.taken_away(request)
