"""What all routes share: answers with an ETag, If-Match, Idempotency-Key, pages."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from pydantic import AfterValidator, BaseModel
from starlette.responses import Response

from api.auth import CallerOf, RegistryOf
from api.records import Replay
from api.registry import replays
from api.registry.core import Expected, Read, Registry, Write
from api.registry.permissions import Caller
from policy.document import Name, printable

_ETAG = re.compile(r'"([0-9]{1,18})"')

# What is asked for: nothing that is kept has invisible characters.
Shown = Annotated[str, AfterValidator(printable)]
Limit = Annotated[int, Query(ge=1, le=500, description="at most so many")]
NamePrefix = Annotated[Name | None, Query(description="how the name begins")]
NameCursor = Annotated[Name | None, Query(description="`next` of the page before")]
NumberCursor = Annotated[
    str | None, Query(pattern="^[0-9]{1,10}$", description="`next` of the page before")
]


def answer(content: BaseModel, status: int = 200, version: int | None = None) -> Response:
    """JSON; with a version, its ETag."""
    headers = {} if version is None else {"ETag": f'"{version}"'}
    return Response(content.model_dump_json(), status, headers, "application/json")


async def expected_of(
    if_match: Annotated[
        str | None,
        Header(description="the ETag that was read; `*` for any", examples=['"1"']),
    ] = None,
) -> Expected:
    if if_match is None:
        return Expected()
    tags = [tag.strip() for tag in if_match.split(",")]
    versions = (match[1] for tag in tags if (match := _ETAG.fullmatch(tag)))
    return Expected(frozenset(int(version) for version in versions), any_version=tags == ["*"])


ExpectedOf = Annotated[Expected, Depends(expected_of)]

Urgent = Annotated[
    bool, Query(description="past a staged roll-out: at once to every router; it is recorded")
]


@dataclass(frozen=True, slots=True)
class Once:
    """Carries out a POST, or answers as it did when it first came with the same key."""

    registry: Registry
    caller: Caller
    key: str | None
    path: str

    def __call__(
        self,
        cause: str,
        body: BaseModel | None,
        work: Callable[[Write], Response],
        *,
        secret: bool = False,
        urgent: bool = False,
    ) -> Response:
        text = body.model_dump_json() if body is not None else ""
        text += "urgent" if urgent else ""
        with self.registry.write(self.caller.actor, cause) as write:
            return self.within(write, text, work, secret=secret, urgent=urgent)

    def within(
        self,
        write: Write,
        text: str,
        work: Callable[[Write], Response],
        *,
        secret: bool = False,
        urgent: bool = False,
    ) -> Response:
        """`text` stands for the request's body."""
        if seen := self.seen(write, text):
            return seen
        if urgent:
            write.hurry()
        response = work(write)
        if self.key is None:
            return response
        kept = None if secret else bytes(response.body).decode()
        headers = {
            name: value for name, value in response.headers.items() if name != "content-length"
        }
        replay = Replay(self._digest(text), response.status_code, kept, headers)
        replays.keep(write, self.caller, self.key, replay)
        return response

    def seen(self, state: Read | Write, text: str) -> Response | None:
        """The answer that it was given before."""
        if self.key is None:
            return None
        seen = replays.find(state, self.caller, self.key, self._digest(text))
        return None if seen is None else Response(seen.body, seen.status, seen.headers)

    def _digest(self, text: str) -> str:
        return hashlib.sha256(f"{self.path}\n{text}".encode()).hexdigest()


async def once_of(
    request: Request,
    registry: RegistryOf,
    caller: CallerOf,
    idempotency_key: Annotated[
        str | None,
        Header(
            pattern="^[!-~]{1,255}$",
            description="sent again with the same key, a request is carried out once: "
            "take a new one, such as a random UUID, for each request",
        ),
    ] = None,
) -> Once:
    return Once(registry, caller, idempotency_key, request.url.path)


OnceOf = Annotated[Once, Depends(once_of)]
