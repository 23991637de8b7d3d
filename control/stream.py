"""Changes as the registry says them: line by line, for as long as it goes on."""

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
from pydantic import BaseModel, ValidationError

from control.word import BadWordError

NDJSON = "application/x-ndjson"


class _Line(BaseModel):
    """Unknown fields are let be: a newer registry may say more."""

    statement: str
    signature: str
    spread: float
    changes: str
    asked: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """One answer: its body, and the headers that it has, or would have by itself."""

    body: bytes
    headers: Mapping[str, str]


class Stream:
    """`held` is let go of with it. `after` is the revision that it goes on from."""

    def __init__(self, response: httpx.Response, held: AsyncExitStack, after: int) -> None:
        self._response = response
        self._held = held
        self._lines = response.aiter_lines()
        self.has_lines = NDJSON in response.headers.get("Content-Type", "")
        self._ended = False
        self._read = time.monotonic()
        self.after = after

    def follows(self, after: int, within: float) -> bool:
        """Whether it can tell what came then. Lines that lay unread for longer than `within`
        seconds may be older than what was heard elsewhere meanwhile."""
        fresh = time.monotonic() - self._read < within
        return self.after == after and fresh and not self._ended

    async def next(self) -> Said | None:
        """None where it has ended. Raises BadWordError and what httpx does."""
        if not self.has_lines:
            # So it is where the answer is long, with the rest to be asked for again.
            self._ended = True
            return Said(await self._response.aread(), self._response.headers)
        line = await anext(self._lines, None)
        self._read = time.monotonic()
        if line is None:
            self._ended = True
            return None
        try:
            said = _Line.model_validate_json(line)
        except ValidationError:
            raise BadWordError("a line of it cannot be read") from None
        headers = {
            "Peergate-Statement": said.statement,
            "Peergate-Signature": said.signature,
            "Peergate-Spread": str(said.spread),
            "Peergate-Asked": str(said.asked),
        }
        return Said(said.changes.encode(), headers)

    async def close(self) -> None:
        await self._held.aclose()
