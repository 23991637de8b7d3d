"""Changes after a revision, for a thousand routers that ask for the same ones at once."""

import gzip
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from anyio.to_thread import run_sync

from api.feed import encoded
from api.feed.spans import Spans, view_name
from api.registry import allowlist
from api.registry.assigned import View
from api.registry.core import Registry
from api.shared import Shared
from api.signing import Signer, Statement
from policy.window import rfc3339

# Long enough for a crowd that was woken together, so short that a signed time is about now.
_KEPT_SECONDS = 0.25
_KEPT = 256
_COMPRESSED_FROM = 4096
# Bytes. What is longer goes by itself, compressed.
_LONGEST_LINE = 1 << 15


@dataclass(frozen=True, slots=True)
class Answer:
    """JSON; the same compressed where that is worth it, and as a JSON string where it is short."""

    registry: str
    after: int
    revision: int
    time: str
    body: bytes
    compressed: bytes | None
    quoted: str | None
    sha256: str


class ChangesFeed:
    def __init__(self, registry: Registry, spans: Spans, signer: Signer) -> None:
        self._registry = registry
        self._spans = spans
        self._signer = signer
        self._answers: Shared[tuple[View, View], Answer] = Shared(_KEPT_SECONDS, _KEPT)

    async def get(self, router: str | None, after: int, heard: datetime | None = None) -> Answer:
        """What the registry holds now for a router, whether or not that is news. `heard` is when
        it was told of that revision. Raises GoneError."""
        span = await self._spans.get(after)
        span.check_heard(heard)
        then, now = span.views(router)
        return await self._answers.get((then, now), lambda: run_sync(self._made, then, now))

    def signed(self, answer: Answer, router: str | None) -> dict[str, str]:
        """The headers that make it this router's. They cost less than a turn of a thread."""
        statement = Statement(
            registry=answer.registry,
            kind="changes",
            view=view_name(router),
            after=answer.after,
            revision=answer.revision,
            time=answer.time,
            sha256=answer.sha256,
        )
        return self._signer.sign(statement)

    def line(
        self, answer: Answer, quoted: str, router: str | None, spread: float, asked: int
    ) -> str:
        """The same in one line of JSON: what would be headers stands beside the body."""
        headers = self.signed(answer, router)
        statement = json.dumps(headers["Peergate-Statement"])
        return (
            f'{{"statement":{statement},"signature":"{headers["Peergate-Signature"]}",'
            f'"spread":{spread:.2f},"asked":{asked},"changes":{quoted}}}\n'
        )

    def _made(self, then: View, now: View) -> Answer:
        with self._registry.read() as read:
            found = allowlist.changes(read, then, now)
        body = encoded.changes(found)
        return Answer(
            registry=found.registry,
            after=found.after,
            revision=found.revision,
            time=rfc3339(found.time) or "",
            body=body,
            compressed=gzip.compress(body, 6) if len(body) >= _COMPRESSED_FROM else None,
            quoted=json.dumps(body.decode()) if len(body) <= _LONGEST_LINE else None,
            sha256=hashlib.sha256(body).hexdigest(),
        )
