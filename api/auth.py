"""Who is calling: a request's bearer token or session, and what its role allows."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from api import session_cookie
from api.errors import UnauthorizedError, UnavailableError
from api.known import KnownCallers
from api.oidc import Oidc
from api.origin import OriginOf, origin_of
from api.records import Origin
from api.registry import lasting, sessions, tokens
from api.registry.core import Registry
from api.registry.permissions import Caller, Permission
from api.throttle import Throttle

_log = logging.getLogger("peergate.api")

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    bearerFormat="pg_ID_SECRET",
    description="A token of the role that the route needs: `POST /v1/tokens`.",
)
# For the document alone: it has another name over https.
_cookie = APIKeyCookie(
    name=session_cookie.PLAIN,
    auto_error=False,
    scheme_name="session",
    description="A browser's, in place of a token: `POST /v1/session`.",
)

_CALLER = "caller"
# Where `reporter_of` asks.
_OF_ROUTERS = "/report"


async def registry_of(request: Request) -> Registry:
    registry: Registry = request.app.state.registry
    return registry


RegistryOf = Annotated[Registry, Depends(registry_of)]


async def caller_of(
    request: Request,
    registry: RegistryOf,
    origin: OriginOf,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    _documented: Annotated[str | None, Depends(_cookie)] = None,
) -> Caller:
    if (shown := _shown(request)) is not None:
        return shown
    if credentials is None:
        return await _of_session(request, registry, origin)
    throttle: Throttle = request.app.state.throttle
    text = credentials.credentials
    if throttle.admits(origin, text):
        oidc: Oidc | None = request.app.state.oidc
        if oidc is not None and not text.startswith(tokens.PREFIX):
            caller = await oidc.caller(text, origin)
        else:
            caller = await run_in_threadpool(_ours, registry, text, origin)
        if caller is not None:
            throttle.worked(text)
            request.state.ongoing.token = caller.token
            return caller
        if throttle.failed(origin, text):
            told = (origin.address, origin.request)
            _log.warning("%s: too many tokens that do not work (request %s)", *told)
    raise lasting.no_token()


async def _of_session(request: Request, registry: Registry, origin: Origin) -> Caller:
    secret = session_cookie.secret_in(request)
    if secret is None:
        raise UnauthorizedError("send a token: `Authorization: Bearer pg_...`")
    throttle: Throttle = request.app.state.throttle
    if throttle.admits(origin, secret):
        caller = await run_in_threadpool(_in_session, registry, secret, origin)
        if caller is not None:
            throttle.worked(secret)
            request.state.ongoing.token = caller.token
            request.state.ongoing.session = caller.session
            return caller
        throttle.failed(origin, secret)
    raise lasting.no_session()


async def show_in(request: Request) -> None:
    """Finds the caller before the body is read, and gives it to the route. Raises ApiError."""
    if request.scope["path"].endswith(_OF_ROUTERS):
        caller = await _known_caller_of(request)
    else:
        credentials = await _bearer(request)
        caller = await caller_of(
            request, request.app.state.registry, origin_of(request), credentials
        )
    request.scope["state"][_CALLER] = caller


def _shown(request: Request) -> Caller | None:
    caller: Caller | None = request.scope["state"].get(_CALLER)
    return caller


def _ours(registry: Registry, text: str, origin: Origin) -> Caller | None:
    with registry.read() as read:
        return tokens.authenticate(read, text, origin)


def _in_session(registry: Registry, secret: str, origin: Origin) -> Caller | None:
    with registry.read() as read:
        return sessions.authenticate(read, secret, origin)


CallerOf = Annotated[Caller, Depends(caller_of)]


def needs(*permissions: Permission) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency that lets through whoever has any of these permissions."""

    async def check(caller: CallerOf) -> Caller:
        caller.require(*permissions)
        return caller

    return check


# What FastAPI cannot see of `follower_of` and `reporter_of`, for their routes.
NEEDS_TOKEN: dict[str, Any] = {"security": [{"token": []}]}


async def _known_caller_of(request: Request) -> Caller:
    """As `caller_of`, for routers that come again and again: whoever was let in is known for
    half a second after the token was revoked.

    It has no dependencies: FastAPI takes 25 us for each, which a thousand routers wait for.
    """
    if (shown := _shown(request)) is not None:
        return shown
    registry: Registry = request.app.state.registry
    credentials = await _bearer(request)
    origin = origin_of(request)
    known: KnownCallers = request.app.state.known_callers
    found = None if credentials is None else await known.find(credentials.credentials)
    if found is None:
        revoked = known.revoked
        caller = await caller_of(request, registry, origin, credentials)
        if credentials is not None and caller.token is not None:
            known.keep(credentials.credentials, caller, revoked)
    else:
        caller = replace(found, origin=origin)
        request.state.ongoing.token = caller.token
    return caller


async def follower_of(request: Request) -> Caller:
    caller = await _known_caller_of(request)
    caller.require(Permission.FOLLOW)
    return caller


async def reporter_of(request: Request) -> Caller:
    caller = await _known_caller_of(request)
    caller.require(Permission.REPORT)
    return caller


async def scraper_of(request: Request) -> Caller:
    """Also while the database is away, which is when somebody wants to see that it is: whoever
    was let in before. Raises ApiError."""
    try:
        caller = await _known_caller_of(request)
    except UnavailableError:
        credentials = await _bearer(request)
        known: KnownCallers = request.app.state.known_callers
        before = None if credentials is None else known.before(credentials.credentials)
        if before is None:
            raise
        caller = before
    caller.require(Permission.METRICS)
    return caller


FollowerOf = Annotated[Caller, Depends(follower_of)]
ReporterOf = Annotated[Caller, Depends(reporter_of)]
