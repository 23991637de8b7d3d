"""Requests that go on for long end with the token, or the session, that they came with."""

import asyncio
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _Request:
    """`token` is the id of the one that it came with, `session` the digest of its session, once
    that is known."""

    def __init__(self) -> None:
        self.token: int | None = None
        self.session: str | None = None
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()

    def end(self) -> None:
        """May be called from any thread."""
        self._loop.call_soon_threadsafe(self._ended.set)

    async def next(self, receive: Receive) -> Message:
        """What the client sends next; that it has gone, also where we end it."""
        coming = asyncio.ensure_future(receive())
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait((coming, ended), return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else {"type": "http.disconnect"}
        finally:
            coming.cancel()
            ended.cancel()


class Ongoing:
    """The requests that this process is answering."""

    def __init__(self) -> None:
        self._requests: set[_Request] = set()

    def add(self) -> _Request:
        request = _Request()
        self._requests.add(request)
        return request

    def remove(self, request: _Request) -> None:
        self._requests.discard(request)

    def tokens(self) -> set[int]:
        """Ids of the tokens that they came with. May be called from any thread."""
        return {each.token for each in list(self._requests) if each.token is not None}

    def sessions(self) -> set[str]:
        """Digests of the sessions that they came with. May be called from any thread."""
        return {each.session for each in list(self._requests) if each.session is not None}

    def end(self, tokens: Collection[int], sessions: Collection[str] = ()) -> None:
        """Lets go of those that came with one of these. May be called from any thread."""
        for each in list(self._requests):
            if each.token in tokens or each.session in sessions:
                each.end()


class EndsWithToken:
    """Whoever waits or streams watches for a client that goes: to them an ended one has gone."""

    def __init__(self, app: ASGIApp, ongoing: Ongoing) -> None:
        self._app = app
        self._ongoing = ongoing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = self._ongoing.add()
        scope.setdefault("state", {})["ongoing"] = request
        whole = False

        async def watched() -> Message:
            nonlocal whole
            if whole:
                return await request.next(receive)
            message = await receive()
            # Of a change that has begun to come in, its turn to be written decides.
            whole = not message.get("more_body", False)
            return message

        try:
            await self._app(scope, watched, send)
        finally:
            self._ongoing.remove(request)
