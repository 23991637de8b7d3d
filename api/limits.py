"""Bounds on what a request may send."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem


class BodyLimit:
    """Refuses a body over `limit` bytes, by what it declares or by what it turns out to be."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        rule = f"a request body is at most {self._limit} bytes"
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._limit:
            headers = {"Connection": "close"}
            refusal = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, rule, headers=headers)
            await refusal(scope, receive, send)
            return
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._limit:
                # Raised where the body is read, so that it is answered like any other error.
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, rule)
            return message

        await self._app(scope, bounded, send)
