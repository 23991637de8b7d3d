"""Takes a body of lines in, and tells how far what is made of it has come."""

import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.auth import RegistryOf
from api.errors import ApiError, UnavailableError
from api.problems import answer_to
from api.records import Json, State
from api.registry import impact
from api.registry.core import Expected, Read, Registry, Write
from api.registry.foreseen import Foreseen
from api.registry.gateways import warnings
from api.registry.imports import Counts, Tell
from api.registry.lines import Lines
from api.registry.matching import GatewayCounts
from api.routes.conventions import Once, OnceOf, answer
from api.routes.impact_models import ImpactView
from api.routes.imports_models import GatewaysImported, Imported, PeersImported
from api.routes.models import PeerView
from api.routes.streams import NDJSON, disconnected, to_its_end
from api.settings import Settings
from policy.document import PolicyPeer

# Each may have a file of max_import, and a thread.
AT_ONCE = 2
_PIECE = 256 * 1024
_TELL_SECONDS = 1.0
# What an export says of a peer beyond what one may ask for.
_KNOWN = frozenset(PeerView.model_fields) - PolicyPeer.model_fields.keys() - {"state"}

Done = tuple[Counts, GatewayCounts]


@dataclass(frozen=True, slots=True)
class Job:
    """What is made of the lines: `check` comes first and holds nobody up; `carry_out` only counts
    where it gets a Read."""

    cause: str
    check: Callable[[Registry, Lines, Tell], None]
    carry_out: Callable[[Read | Write, Lines, Tell], Done]
    expected: Expected | None = None


class _GoneError(Exception):
    """Whoever wanted it has gone: nothing is written."""


class _Told:
    """How far it has come, and whether anybody still wants it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.phase = "check"
        self.done = 0
        self.gone = False

    def __call__(self, done: int) -> None:
        if self.gone:
            raise _GoneError
        self.done = done

    @property
    def line(self) -> bytes:
        return _line({"phase": self.phase, "done": self.done, "total": self.total})


class Intake:
    """Of one request."""

    def __init__(self, request: Request, registry: Registry, once: Once) -> None:
        self._request = request
        self._registry = registry
        self._once = once

    async def __call__(
        self, job: Job, *, state: State | None, dry_run: bool, policy: bool = False
    ) -> Response:
        settings: Settings = self._request.app.state.settings
        if job.expected is not None and not dry_run:
            # Once more where it is written: here so that nothing is sent in vain.
            await to_its_end(partial(self._check, job.expected))
        with ExitStack() as held:
            held.enter_context(self._request.app.state.imports.taken())
            lines = Lines(policy=policy, state=state, known=_KNOWN, most=settings.max_import_peers)
            held.callback(lines.close)
            try:
                await self._receive(lines)
            except ClientDisconnect:
                return Response(status_code=400)  # nobody hears it
            query = self._request.url.query
            work = _Work(self._registry, self._once, job, lines, query, dry_run)
            return _Working(self._request, work, held.pop_all())

    def _check(self, expected: Expected) -> None:
        with self._registry.read() as read:
            expected.check(read.head.policy_version, "the policy")

    async def _receive(self, lines: Lines) -> None:
        waiting = bytearray()

        def feed() -> None:
            try:
                lines.feed(bytes(waiting))
            except OSError as error:
                raise UnavailableError(
                    f"no room for what is imported: {error.strerror}", "no-room"
                ) from error
            waiting.clear()

        async for piece in self._request.stream():
            waiting += piece
            if len(waiting) >= _PIECE:
                await to_its_end(feed)
        await to_its_end(feed)
        await to_its_end(lines.end)


class _Work:
    """Done in a thread; `gone` says that nobody wants it any more."""

    def __init__(
        self, registry: Registry, once: Once, job: Job, lines: Lines, query: str, dry_run: bool
    ) -> None:
        self._registry = registry
        self._once = once
        self._job = job
        self._lines = lines
        self._query = query
        self._dry_run = dry_run
        self._phase = "check"
        self._done = 0
        self.gone = False

    def __call__(self) -> Response:
        text = f"{self._query}\n{self._lines.digest}"
        with self._registry.read() as read:
            if not self._dry_run and (seen := self._once.seen(read, text)):
                return seen
        self._job.check(self._registry, self._lines, self._tell)
        self._phase, self._done = "write", 0
        if self._dry_run:
            with self._registry.read() as read:
                return self._carried_out(replace(read, foreseen=Foreseen(read.now)))
        with self._registry.write(self._once.caller.actor, self._job.cause) as write:
            return self._once.within(write, text, self._carried_out)

    @property
    def line(self) -> bytes:
        return _line({"phase": self._phase, "done": self._done, "total": self._lines.peers})

    def _carried_out(self, state: Read | Write) -> Response:
        if self._job.expected is not None and isinstance(state, Write):
            self._job.expected.check(state.head.policy_version, "the policy")
        counts, gateways = self._job.carry_out(state, self._lines, self._tell)
        head = state.coming if isinstance(state, Write) else state.head
        would = None
        if isinstance(state, Read) and state.foreseen is not None:
            would = ImpactView.of(impact.of(state, state.foreseen))
        return answer(
            Imported(
                dry_run=self._dry_run,
                revision=head.revision,
                etag=f'"{head.policy_version}"',
                lines=self._lines.count,
                peers=PeersImported.model_validate(counts, from_attributes=True),
                gateways=GatewaysImported.model_validate(gateways, from_attributes=True),
                warnings=[*warnings(*self._lines.gateways), *gateways.kept],
                impact=would,
            ),
            version=head.policy_version,
        )

    def _tell(self, done: int) -> None:
        if self.gone:
            raise _GoneError
        self._done = done


class _Working(Response):
    """Answers when the work is done; whoever accepts lines hears meanwhile how far it is."""

    def __init__(self, request: Request, work: _Work, held: ExitStack) -> None:
        super().__init__(None, 200, None, NDJSON)
        del self.headers["content-length"]
        self._request = request
        self._work = work
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = asyncio.create_task(disconnected(receive))
        done = asyncio.create_task(run_in_threadpool(self._work))
        telling = NDJSON in self._request.headers.get("Accept", "")
        try:
            if telling:
                start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
                await send(start)
            while not done.done() and not left.done():
                if telling:
                    body = {"type": "http.response.body", "body": self._work.line}
                    await send({**body, "more_body": True})
                seconds = _TELL_SECONDS if telling else None
                first = asyncio.FIRST_COMPLETED
                await asyncio.wait((done, left), timeout=seconds, return_when=first)
            if not done.done():
                return
            answered = self._outcome(done)
            if telling:
                await send({"type": "http.response.body", "body": _last_line(answered)})
            else:
                await answered(scope, receive, send)
        finally:
            self._work.gone = True
            left.cancel()
            await asyncio.wait((done,))
            self._held.close()

    def _outcome(self, done: asyncio.Task[Response]) -> Response:
        try:
            return done.result()
        except ApiError as error:
            return answer_to(self._request, error)


def _last_line(answered: Response) -> bytes:
    content = json.loads(bytes(answered.body))
    return _line({"result" if answered.status_code < 300 else "problem": content})


def _line(content: Json) -> bytes:
    return json.dumps(content).encode() + b"\n"


def intake_of(request: Request, registry: RegistryOf, once: OnceOf) -> Intake:
    return Intake(request, registry, once)


IntakeOf = Annotated[Intake, Depends(intake_of)]
