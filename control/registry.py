"""HTTP client of the registry: snapshots, changes, reports. Errors are RegistryError, one line.

Every snapshot and all changes carry the registry's word, which is found to be about them. Whether
the word counts is for the follower to say.
"""

import asyncio
import hashlib
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

import httpx

from control.allowlist import Changes, parse_changes
from control.download import Download
from control.errors import RegistryError, UnreachableError
from control.following import Following
from control.model import Allowlist
from control.questions import Asked, parse_questions
from control.settings import Settings
from control.word import BadWordError, Endorsement, Word, endorsements
from policy.errors import PolicyError
from policy.window import to_ns

# The registry holds a request for changes at most this long; ours may take a little longer.
WAIT_SECONDS = 30
TIMEOUT = httpx.Timeout(15.0, read=60.0)
# A snapshot that was broken off is gone on with so often.
_GO_ON = 5
# What a registry may ask for: reports within so many seconds at the latest.
_LONGEST_SPREAD = 30.0
# So much is parsed on the spot: a thread's turn takes longer.
_SMALL = 1 << 14
WAITING = httpx.Timeout(15.0, read=WAIT_SECONDS + 15.0)


class SnapshotRequired(RegistryError):  # noqa: N818  # a state of affairs, not a failure
    """The changes asked for are no longer kept: fetch a snapshot."""


class RevisionAhead(RegistryError):  # noqa: N818  # a state of affairs, not a failure
    """We are above the registry's head: it was restored and must hear of our revision."""


class Forbidden(RegistryError):  # noqa: N818  # a state of affairs, not a failure
    """Our token is known, and its role does not allow this."""


class NotFound(RegistryError):  # noqa: N818  # a state of affairs, not a failure
    """There is nothing at that path: the registry is older, or forgot this router."""


class Refused(RegistryError):  # noqa: N818  # a state of affairs, not a failure
    """What we sent will never be taken as it is."""


Role = Literal["agent", "admin", "other"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a registry says of itself, and the role of our token. `time` is its clock's, if said."""

    registry: str
    revision: int
    role: Role
    time: datetime | None


@dataclass(frozen=True, slots=True)
class Told:
    """The registry's time in ns since 1970, and our monotonic clock before and after."""

    said: int
    sent: int
    came: int


class RegistryClient:
    """One registry, one router's token. The token file is read for every request.

    `spread` is over how many seconds the registry wants reports of its last changes to come.
    `questioned` is set where it has a question to this router.
    """

    def __init__(
        self,
        url: str,
        token_file: Path | None,
        ca_file: Path | None = None,
        router: str | None = None,
    ) -> None:
        """Without a router's name, it is the one that the token is for."""
        self._token_file = token_file
        # Said, so that a token of another router is refused and no other part is taken for ours.
        self._router = {} if router is None else {"router": router}
        self._heard: datetime | None = None
        self._url = url
        self.spread = 0.0
        self.questioned = asyncio.Event()
        self._newest_asked = "0"
        self._following = Following(url, self._asked, WAIT_SECONDS)
        try:
            cafile = None if ca_file is None else str(ca_file)
            # Authorities are loaded only where there is something to verify.
            verify = url.startswith("https:") and ssl.create_default_context(cafile=cafile)
        except (OSError, ssl.SSLError) as error:
            raise RegistryError(f"{ca_file}: no certificates to trust: {error}") from None
        self._http = httpx.AsyncClient(
            base_url=url, verify=verify, timeout=TIMEOUT, trust_env=False
        )

    @classmethod
    def of(cls, settings: Settings) -> Self:
        if settings.registry_url is None:
            raise RegistryError(
                "registry_url is not set: set it or policy_file, or give --policy FILE"
            )
        return cls(settings.registry_url, settings.token_file, settings.ca_file, settings.router)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._following.hang_up()
        await self._http.aclose()

    async def snapshot(self, at_least: int | None = None) -> Allowlist:
        """The whole allowlist, parsed as it comes. With `at_least` it may be some changes behind,
        but not below that revision."""
        download = Download()
        for turn in range(_GO_ON):
            before = download.size
            try:
                await self._go_on(download, at_least)
                break
            except UnreachableError:
                # Only while it gets on: else whoever follows waits longer each time.
                if download.size == before or turn == _GO_ON - 1:
                    raise
        try:
            word = Word.in_headers(download.headers)
            allowlist = await asyncio.to_thread(download.reader.finish)
            word.check("snapshot", 0, allowlist.registry, allowlist.revision, download.sha256)
            self._check_view(word)
        except (PolicyError, BadWordError) as error:
            raise self._unusable("snapshot", error) from None
        return replace(allowlist, word=word)

    async def _go_on(self, download: Download, at_least: int | None) -> None:
        """Fetch it, or the rest of it."""
        params = {**self._router, **({} if at_least is None else {"at_least": at_least})}
        headers = download.asking()
        async with self._answer("GET", "/v1/allowlist", params=params, more=headers) as response:
            try:
                download.begin(response.status_code == 206, response.headers)
                async for part in response.aiter_raw():
                    await download.take(part)
                await download.end()
            except BadWordError as error:
                raise self._unusable("snapshot", error) from None

    async def changes(self, after: int, heard: datetime | None = None) -> Changes:
        """What came after a revision; waits for it, and is empty where nothing came.

        One request brings one answer after the other, for as long as each is asked for in turn.
        `heard` is when the registry said, by its own clock, that it was at that revision: one that
        has made another of this number since raises SnapshotRequired.
        """
        self._heard = heard
        try:
            with self._reaching():
                said = await self._following.next(after)
            word = Word.in_headers(said.headers)
            body = said.body
            small = len(body) < _SMALL
            found = parse_changes(body) if small else await asyncio.to_thread(parse_changes, body)
            digest = hashlib.sha256(body).hexdigest()
            word.check("changes", after, found.registry, found.revision, digest)
            self._check_view(word)
        except (PolicyError, BadWordError) as error:
            await self._following.hang_up()
            raise self._unusable("answer for changes", error) from None
        except BaseException:
            await self._following.hang_up()
            raise
        self._following.went_to(found.revision)
        self.spread = _seconds(said.headers.get("Peergate-Spread", ""))
        self._hear_of(said.headers.get("Peergate-Asked", "0"))
        return replace(found, word=word)

    def _asked(self, after: int, accepted: str) -> AbstractAsyncContextManager[httpx.Response]:
        heard = {} if self._heard is None else {"Peergate-Heard": self._heard.isoformat()}
        return self._answer(
            "GET",
            "/v1/allowlist/changes",
            {"Accept": accepted, "Peergate-Asked": self._newest_asked, **heard},
            params={"after": after, "wait": WAIT_SECONDS, **self._router},
            timeout=WAITING,
        )

    def _hear_of(self, asked: str) -> None:
        """The number of the newest question that was not taken, 0 where there is none."""
        if asked not in ("0", self._newest_asked) and asked.isascii() and asked.isdigit():
            self._newest_asked = asked[:20]
            self.questioned.set()

    def _check_view(self, word: Word) -> None:
        """Raises BadWordError where it was said to another router."""
        if self._router and word.view != f"router/{self._router['router']}":
            raise BadWordError(f"it is another router's: what is signed is for {word.view}")

    async def endorsements(self) -> list[Endorsement]:
        """How one key of the registry's made the next one known."""
        response = await self._request("GET", "/v1/allowlist/keys")
        try:
            return endorsements(response.content)
        except BadWordError as error:
            raise self._unusable("list of keys", error) from None

    async def report(self, router: str, report: Mapping[str, object]) -> Told | None:
        """What the registry says of the time, if it does."""
        path = f"/v1/routers/{quote(router, safe='')}/report"
        sent = time.monotonic_ns()
        response = await self._request("PUT", path, json=report)
        came = time.monotonic_ns()
        said = _time(response.headers.get("Peergate-Time"))
        return None if said is None else Told(to_ns(said), sent, came)

    async def seen(self, router: str, body: Mapping[str, object]) -> None:
        await self._request("PUT", f"/v1/routers/{quote(router, safe='')}/seen", json=body)

    async def strangers(self, router: str, body: Mapping[str, object]) -> None:
        await self._request("PUT", f"/v1/routers/{quote(router, safe='')}/strangers", json=body)

    async def questions(self, router: str) -> list[Asked]:
        """What this router is asked. Raises RegistryError."""
        response = await self._request("GET", f"/v1/routers/{quote(router, safe='')}/questions")
        try:
            return parse_questions(response.content)
        except PolicyError as error:
            raise self._unusable("list of questions", error) from None

    async def answer(self, router: str, number: int, body: Mapping[str, object]) -> None:
        path = f"/v1/routers/{quote(router, safe='')}/questions/{number}"
        await self._request("PUT", path, json=body)

    async def standing(self) -> Standing:
        """Where the registry stands, and what our token is good for; nothing is changed."""
        response = await self._request("GET", "/v1/status")
        body = _body(response)
        registry, revision = body.get("registry"), body.get("revision")
        if not isinstance(registry, str) or not isinstance(revision, int):
            raise RegistryError(f"registry {self._url}: no registry answers there: {body!r:.80}")
        role: Role = "agent"
        if await self._may("/v1/routers"):
            role = "admin" if await self._may("/v1/tokens") else "other"
        return Standing(registry, revision, role, _time(body.get("time")))

    async def _may(self, path: str) -> bool:
        """Whether the token's role lets us read there."""
        try:
            await self._request("GET", path, params={"limit": 1})
        except Forbidden:
            return False
        return True

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401  # httpx has no type for these
        async with self._answer(method, path, **options) as response:
            await response.aread()
        return response

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        more: Mapping[str, str] | None = None,
        **options: Any,  # noqa: ANN401  # httpx has no type for these
    ) -> AsyncIterator[httpx.Response]:
        """An answer that is no refusal, before its body is read. `more` are headers."""
        headers = {**self._headers(), **(more or {})}
        asked = self._http.stream(method, path, headers=headers, **options)
        with self._reaching():
            async with asked as response:
                if response.is_success:
                    yield response
                    return
                await response.aread()
        text = f"registry {self._url}: {method} {path}: {_problem(response)}"
        if response.is_server_error or response.status_code == 429:
            raise UnreachableError(text)
        if response.status_code in _NEVER:
            raise Refused(text)
        raise _REFUSALS.get(_kind(response), RegistryError)(text)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException:
            raise UnreachableError(f"registry {self._url}: no answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Some of httpx' errors have no words.
            why = str(error) or type(error).__name__
            raise UnreachableError(f"registry {self._url}: not reached: {why}") from None

    def _headers(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            token = self._token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not text"
            raise RegistryError(f"{self._token_file}: the token cannot be read: {why}") from None
        if not token.isascii() or not token.isprintable() or not token or " " in token:
            raise RegistryError(f"{self._token_file}: holds no token: one line, as the API gave it")
        return {"Authorization": f"Bearer {token}"}

    def _unusable(self, what: str, error: PolicyError | BadWordError) -> RegistryError:
        why = str(error)
        if isinstance(error, PolicyError):
            more = f" (and {len(error.problems) - 1} more)" if len(error.problems) > 1 else ""
            why = f"{error.problems[0]}{more}"
        return RegistryError(f"registry {self._url}: its {what} is refused: {why}")


# Bad request, content too large, unprocessable content.
_NEVER = (400, 413, 422)

# By the last word of a problem's type.
_REFUSALS = {
    "snapshot-required": SnapshotRequired,
    "revision-ahead": RevisionAhead,
    "forbidden": Forbidden,
    "not-found": NotFound,
}


def _body(response: httpx.Response) -> dict[str, object]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _seconds(said: str) -> float:
    try:
        seconds = float(said)
    except ValueError:
        return 0.0
    return min(seconds, _LONGEST_SPREAD) if seconds > 0 else 0.0


def _time(said: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        return None
    return None if moment is None or moment.tzinfo is None else moment


def _kind(response: httpx.Response) -> str:
    return str(_body(response).get("type", "")).rpartition("/")[2]


def _problem(response: httpx.Response) -> str:
    """What a refusal says (RFC 9457), with what to do about the token."""
    text = f"{response.status_code} {response.reason_phrase}"
    if isinstance(detail := _body(response).get("detail"), str):
        text += f": {detail}"
    if response.status_code in (401, 403):
        text += "; `token_file` must hold a token of the role agent"
    return text
