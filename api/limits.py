"""Bounds on what a request may send, and on how long that may take."""

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem

# A body has so many seconds, and one more for each so many bytes of it.
PATIENCE = 30.0
SLOWEST = 16 * 1024
# Of most bodies: 4,096 sources are 180 KB. What is parsed at once holds up everybody else.
MOST = 256 * 1024
_ROUTER = re.compile(r"(?<=^/v1/routers/)[^/]+")


class BodyLimit:
    """Refuses a body over `limit` bytes, by what it declares or by what it turns out to be, and
    one that comes too slowly. `large` has other limits, by path, with `{name}` for a router's."""

    def __init__(
        self,
        app: ASGIApp,
        limit: int,
        large: Mapping[str, int],
    ) -> None:
        self._app = app
        self._limit = limit
        self._large = large

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._large.get(_ROUTER.sub("{name}", scope["path"]), self._limit)
        rule = f"a request body is at most {limit} bytes"
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit:
            headers = {"Connection": "close"}
            refusal = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, rule, headers=headers)
            await refusal(scope, receive, send)
            return
        taken = 0
        waited = 0.0
        whole = False

        async def bounded() -> Message:
            # Raised where the body is read, so that it is answered like any other error.
            nonlocal taken, waited, whole
            if whole:
                return await receive()
            # Only waiting counts: while we work, the sender is held up by us.
            begun = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(PATIENCE + taken / SLOWEST - waited):
                    message = await receive()
            except TimeoutError:
                seconds = PATIENCE + taken / SLOWEST
                slow = f"a request body may take {seconds:.0f} s for its first {taken} bytes"
                raise _closing(HTTPStatus.REQUEST_TIMEOUT, slow) from None
            waited += asyncio.get_running_loop().time() - begun
            taken += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if taken > limit:
                raise _closing(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, rule)
            return message

        await self._app(scope, bounded, send)


def _closing(status: HTTPStatus, detail: str) -> HTTPException:
    """What is still on its way is not waited for."""
    return HTTPException(status, detail, {"Connection": "close"})
