"""Nobody's body is read before it is known whose it is."""

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth import show_in
from api.errors import ApiError
from api.problems import answer_to


class Door:
    """The framework reads and parses a body before it asks who sends it: so that is asked here.

    A request without a body is let through; its route asks.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _has_body(scope) and scope["path"].startswith("/v1/"):
            request = Request(scope)
            try:
                await show_in(request)
            except ApiError as error:
                await answer_to(request, error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _has_body(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return bool(value != b"0")
        if name == b"transfer-encoding":
            return True
    return False
