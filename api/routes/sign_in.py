"""/sign-in: from the page to the identity provider, and back with a session"""

import hmac
import logging
from functools import partial

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from api import session_cookie
from api.errors import ForbiddenError, ThrottledError, UnavailableError
from api.oidc_sign_in import BACK, Begun, SignIn
from api.origin import origin_of
from api.registry import sessions
from api.registry.permissions import Permission
from api.throttle import Throttle

_KEPT = "-sign-in"
# Seconds that somebody may take at the provider.
_PATIENCE = 600
_LONGEST = 4096
_log = logging.getLogger("peergate.api")


def routes() -> list[Route]:
    """Browsers come here, and providers add to the address what they like: no part of the API."""
    found = {"/sign-in": _begin, BACK: _finish, "/sign-in/offer": _offer}
    return [
        Route(path, work, methods=["GET"], include_in_schema=False) for path, work in found.items()
    ]


async def _offer(request: Request) -> Response:
    sign_in: SignIn | None = request.app.state.sign_in
    return JSONResponse({"issuer": None if sign_in is None else sign_in.issuer})


async def _begin(request: Request) -> Response:
    sign_in: SignIn | None = request.app.state.sign_in
    if sign_in is None:
        return _back("none")
    begun = Begun.new()
    try:
        address = await sign_in.address(begun)
    except UnavailableError:
        return _back("away")
    response = RedirectResponse(address, 303)
    response.set_cookie(
        _name(sign_in),
        begun.written,
        max_age=_PATIENCE,
        path="/",
        secure=sign_in.secure,
        httponly=True,
        # The provider's page sends the browser back with it.
        samesite="lax",
    )
    return _unkept(response)


async def _finish(request: Request) -> Response:
    sign_in: SignIn | None = request.app.state.sign_in
    if sign_in is None:
        return _back("none")
    response = await _finished(request, sign_in)
    response.delete_cookie(
        _name(sign_in), "/", secure=sign_in.secure, httponly=True, samesite="lax"
    )
    return response


async def _finished(request: Request, sign_in: SignIn) -> Response:
    begun = Begun.read(request.cookies.get(_name(sign_in), ""))
    state, code = (request.query_params.get(name, "") for name in ("state", "code"))
    known = begun is not None and hmac.compare_digest(begun.state.encode(), state.encode())
    if begun is None or not known or not code or len(code) > _LONGEST:
        return _back("again")
    origin = origin_of(request)
    throttle: Throttle = request.app.state.throttle
    try:
        caller = None
        if throttle.admits(origin, code):
            caller = await sign_in.caller(begun, code, origin)
        if caller is None:
            throttle.failed(origin, code)
            return _back("again")
        caller.require(Permission.READ)
        # An ID token says who came back just now, and ends minutes after that.
        secret, expires = await run_in_threadpool(
            partial(sessions.begin, request.app.state.registry, caller, until=None)
        )
    except ForbiddenError as error:
        _log.warning("%s (request %s)", error, origin.request)
        return _back("role")
    except (ThrottledError, UnavailableError):
        return _back("away")
    _log.info(
        "%s signed in at the page from %s (request %s)", caller.name, origin.address, origin.request
    )
    response = _unkept(RedirectResponse("/", 303))
    session_cookie.give(response, secret, expires, secure=sign_in.secure)
    return response


def _name(sign_in: SignIn) -> str:
    return (session_cookie.SECURE if sign_in.secure else session_cookie.PLAIN) + _KEPT


def _back(why: str) -> Response:
    """To the page, which has the words for it."""
    return _unkept(RedirectResponse(f"/#/refused/{why}", 303))


def _unkept(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    # The address of the answer has the code in it.
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
