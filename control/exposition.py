"""Answers `GET /metrics` for a Prometheus, on an address of the operator's choice."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from control.errors import ControlError
from control.settings import Endpoint

log = logging.getLogger(__name__)

# At once; whoever comes then is sent away. None may keep a place longer than a scrape takes.
PLACES = 8
SECONDS = 20.0
LONGEST_HEAD = 8192
# Before the address comes up, or while another program has the port.
TRY_AGAIN = 5.0


class Exposition:
    """An HTTP server that knows one path, reads no body and ends each connection."""

    def __init__(self, where: Endpoint, text: Callable[[], Awaitable[bytes]]) -> None:
        """`text` gives the metrics; ControlError where they cannot be had now."""
        self._where = where
        self._text = text
        self._taken = 0
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Never returns. Without the port the agent does all its other work."""
        trouble: str | None = None
        while True:
            try:
                server = await asyncio.start_server(
                    self._connected,
                    str(self._where.address),
                    self._where.port,
                    limit=LONGEST_HEAD,
                    backlog=PLACES,
                )
            except OSError as error:
                if trouble != (trouble := error.strerror or str(error)):
                    log.error("metrics: %s: cannot listen there: %s", self._where, trouble)
                await asyncio.sleep(TRY_AGAIN)
                continue
            log.info("metrics at http://%s/metrics", self._where)
            if not self._where.address.is_loopback:
                log.warning(
                    "metrics: whoever reaches %s reads them: let only your Prometheus in",
                    self._where,
                )
            async with server:
                await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._taken >= PLACES:
            writer.transport.abort()
            return
        self._taken += 1
        try:
            # Whoever goes in the middle, or never asks, is nobody's trouble.
            with suppress(OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
                async with asyncio.timeout(SECONDS):
                    await self._answer(reader, writer)
        finally:
            self._taken -= 1
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path != b"/metrics":
            status, body = HTTPStatus.NOT_FOUND, b"there is only /metrics\n"
        elif method not in (b"GET", b"HEAD"):
            status, body = HTTPStatus.METHOD_NOT_ALLOWED, b"GET it\n"
        else:
            try:
                async with self._one_at_a_time:
                    status, body = HTTPStatus.OK, await self._text()
            except ControlError as error:
                status, body = HTTPStatus.INTERNAL_SERVER_ERROR, f"{error.message}\n".encode()
        kind = CONTENT_TYPE_PLAIN_0_0_4 if status is HTTPStatus.OK else "text/plain; charset=utf-8"
        lines = (
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *(["Allow: GET, HEAD"] if status is HTTPStatus.METHOD_NOT_ALLOWED else []),
        )
        writer.write("\r\n".join((*lines, "", "")).encode())
        if method != b"HEAD":
            writer.write(body)
        writer.close()
        await writer.wait_closed()
