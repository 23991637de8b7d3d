"""An answer that goes on for as long as both sides want it to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.routes.streams import disconnected

# Seconds, for one who does not read.
_LAST_WORD = 1.0


class EventStream(Response):
    """Sends each piece as it comes. One who does not read holds up only itself: the next piece is
    asked for when the last one is on its way. After `lasts` seconds it ends, whoever reads how."""

    media_type = "text/event-stream"

    def __init__(self, pieces: AsyncIterator[str], lasts: float | None = None) -> None:
        super().__init__()
        del self.headers["content-length"]
        self.headers["Cache-Control"] = "no-store"
        # nginx would collect the pieces.
        self.headers["X-Accel-Buffering"] = "no"
        self._pieces = pieces
        self._lasts = lasts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        sending = asyncio.create_task(self._send(send))
        gone = asyncio.create_task(disconnected(receive))
        try:
            await asyncio.wait(
                (sending, gone), timeout=self._lasts, return_when=asyncio.FIRST_COMPLETED
            )
            if sending.done():
                await sending
        finally:
            sending.cancel()
            gone.cancel()
            await asyncio.wait((sending, gone))
        if sending.cancelled():
            # One who was let go of is told so; to one who has gone it is nothing.
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORD):
                    await send({"type": "http.response.body", "body": b""})

    async def _send(self, send: Send) -> None:
        async for piece in self._pieces:
            body = {"type": "http.response.body", "body": piece.encode(), "more_body": True}
            await send(body)
        await send({"type": "http.response.body", "body": b""})
