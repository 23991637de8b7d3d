"""The cookie that stands for a token, and what else a browser must show with it."""

from datetime import datetime
from http import HTTPStatus

from fastapi import Request
from starlette.responses import Response

from api.errors import ForbiddenError

# Over https a name that no other host of the domain, and nobody without TLS, can set.
PLAIN = "peergate"
SECURE = "__Host-peergate"
# A page of another origin cannot send it without asking first, which is never granted.
PROOF = "Peergate-Page"
_SAFE = ("GET", "HEAD")


def secret_in(request: Request) -> str | None:
    """Raises ForbiddenError where the browser was sent by somebody else's page."""
    secret = request.cookies.get(SECURE)
    if secret is None and not is_secure(request):
        secret = request.cookies.get(PLAIN)
    if secret is not None and not _is_own(request):
        raise ForbiddenError(
            "a session is good for the registry's own page alone: this request comes from another "
            f"page, or without the header {PROOF}. Scripts send a token",
            "cross-site",
        )
    return secret


def _is_own(request: Request) -> bool:
    """What a browser says by itself, which no page can change: where the request comes from."""
    safe = request.method in _SAFE
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        # Typed in, or a bookmark: it reads.
        own = site == "same-origin" or (safe and site == "none")
    elif origin is not None:
        own = origin.partition("://")[2] == request.headers.get("Host")
    else:
        own = safe
    return own and (safe or PROOF in request.headers)


def give(response: Response, secret: str, expires: datetime, *, secure: bool) -> None:
    response.set_cookie(
        SECURE if secure else PLAIN,
        secret,
        expires=expires,
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )
    response.headers["Cache-Control"] = "no-store"


def taken_away(request: Request) -> Response:
    response = Response(status_code=HTTPStatus.NO_CONTENT)
    for name in (SECURE, PLAIN):
        if name in request.cookies:
            secure = name == SECURE
            response.delete_cookie(name, "/", secure=secure, httponly=True, samesite="strict")
    return response


def is_secure(request: Request) -> bool:
    """Whether the browser speaks https, also where a proxy in between does not."""
    origin = request.headers.get("Origin", "")
    return request.url.scheme == "https" or origin.startswith("https://")
