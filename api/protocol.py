"""HTTP/1.1 for clients that are slow, or send too much, before there is a request at all."""

import asyncio
import sys
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.problems import problem

# From the connection, or the first byte of a further request, to the end of its headers.
HEADER_SECONDS = 10.0
HEADER_BYTES = 32 * 1024


class Protocol(H11Protocol):
    """uvicorn's, which waits for headers for ever and says 400 to whatever it cannot read."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._expect_headers()
        else:
            self._have_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_headers()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        error = sys.exc_info()[1]
        status = HTTPStatus.BAD_REQUEST
        if isinstance(error, h11.RemoteProtocolError):
            status = HTTPStatus(error.error_status_hint)
        rule = msg
        if status is HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            rule = f"path and headers are at most {HEADER_BYTES} bytes"
        self._refuse(status, rule)

    def _expect_headers(self) -> None:
        """Counted from the first time on: more of them do not give more time."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self._too_late)

    def _have_headers(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            rule = f"the headers of a request may take {HEADER_SECONDS:g} s"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, rule)

    def _refuse(self, status: HTTPStatus, rule: str) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            refusal = problem(status, rule, headers={"Connection": "close"})
            head = h11.Response(
                status_code=status, headers=refusal.raw_headers, reason=status.phrase.encode()
            )
            for event in (head, h11.Data(data=bytes(refusal.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
