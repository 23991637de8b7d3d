"""The registry's HTTP API as the commands use it: one request, one reply or one readable error."""

import json
import os
import ssl
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

import httpx

from cli.errors import RegistryError, UsageError

DEFAULT_URL = "http://127.0.0.1:8470"
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_PAGE = 500
NDJSON = "application/x-ndjson"

# A JSON object as the registry gave it: the commands print it, and look into it by name.
Json = dict[str, Any]


class _Object(Json):
    """What lacks something that a registry says came from somebody else."""

    def __missing__(self, name: str) -> object:
        raise RegistryError(f"the answer has no {name!r}; is this a peergate registry?")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the registry answered; `etag` names the state of the resource."""

    body: Any
    etag: str | None


class Registry:
    """A connection to one registry, with one token. Use it in a `with`."""

    def __init__(
        self,
        url: str,
        token: str | None,
        ca_file: Path | None = None,
        family: Literal["4", "6"] | None = None,
    ) -> None:
        """`family`: IPv4 or IPv6 alone; a proxy that the environment names is passed by then."""
        headers = {"Accept": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self.url = url
        self._http = httpx.Client(
            base_url=url,
            headers=headers,
            timeout=_TIMEOUT,
            verify=_trust(url, ca_file),
            transport=None if family is None else _over(family, _trust(url, ca_file)),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: object) -> Reply:
        return self._request("GET", path, query=query)

    @contextmanager
    def stream(self, path: str, accept: str, **query: object) -> Iterator[Iterator[bytes]]:
        """An answer of any length, in pieces. Raises RegistryError also where it has no end."""
        params = _params(query)
        try:
            with self._http.stream("GET", path, params=params, headers={"Accept": accept}) as got:
                if not got.is_success:
                    got.read()
                    raise _refused(self.url, "GET", got)
                kind = got.headers.get("Content-Type", "nothing that it names")
                if kind.partition(";")[0].strip() != accept:
                    raise RegistryError(
                        f"{self.url}{path}: answered with {kind}, not {accept}: this is not the "
                        "registry, or a proxy in between does not pass its answers on"
                    )
                yield got.iter_bytes()
        except httpx.RemoteProtocolError as error:
            raise RegistryError(
                f"{self.url}{path}: broken off before its end; the registry's log says why"
            ) from error
        except httpx.HTTPError as error:
            raise _unreached(self.url, error) from error

    def lines(self, path: str, **query: object) -> Iterator[bytes]:
        """An answer of any length, line by line."""
        with self.stream(path, "application/x-ndjson", **query) as pieces:
            rest = b""
            for piece in pieces:
                *whole, rest = (rest + piece).split(b"\n")
                yield from whole
            if rest:
                yield rest

    def upload(
        self, path: str, lines: Iterable[bytes], etag: str | None, **query: object
    ) -> Iterator[Json]:
        """POST lines of any number; what the registry tells of its work, the result at last.

        The registry may think of it for long, but tells every second that it does.
        """
        headers = {"Accept": NDJSON, "Content-Type": NDJSON, "Idempotency-Key": _key()}
        if etag is not None:
            headers["If-Match"] = etag
        try:
            with self._http.stream(
                "POST", path, content=lines, headers=headers, params=_params(query)
            ) as got:
                if not got.is_success:
                    got.read()
                    raise _refused(self.url, "POST", got)
                if got.headers.get("Content-Type") != NDJSON:  # it was done before
                    got.read()
                    yield {"result": _object(self.url + path, got.content)}
                    return
                for line in got.iter_lines():
                    told = _object(self.url + path, line)
                    if "problem" in told:
                        raise _told(told["problem"])
                    yield told
        except httpx.HTTPError as error:
            raise _unreached(self.url, error) from error

    def pages(self, path: str, **query: object) -> Iterator[Json]:
        """All items of a list, page by page."""
        cursor: object = None
        while True:
            page = self.get(path, **query, limit=_PAGE, cursor=cursor).body
            yield from page["items"]
            cursor = page.get("next")
            if cursor is None:
                return

    def create(self, path: str, body: Json | None = None) -> Reply:
        """POST something new. The key lets the registry tell a repetition from a second one."""
        return self._request("POST", path, body=body, headers={"Idempotency-Key": _key()})

    def act(self, path: str, action: str, body: Json | None = None, **query: object) -> Reply:
        """POST an action on the resource at `path`, on its state as it is now."""
        headers = {"If-Match": self._etag(path), "Idempotency-Key": _key()}
        return self._request("POST", f"{path}/{action}", body=body, headers=headers, query=query)

    def send(
        self, path: str, body: Json, etag: str | None = None, **query: object
    ) -> tuple[Json, str | None]:
        """POST what is meant for the state that `etag` names; a dry run is for any."""
        headers = {} if etag is None else {"If-Match": etag}
        reply = self._request("POST", path, body=body, headers=headers, query=query)
        return reply.body, reply.etag

    def preview(self, method: str, path: str, body: Json | None = None) -> Json:
        """What that would do, which is not done."""
        found: Json = self._request(method, path, body=body, query={"dry_run": "true"}).body
        return found

    def change(self, path: str, body: Json) -> Reply:
        """PATCH the resource at `path`, on its state as it is now."""
        return self._request("PATCH", path, body=body, headers={"If-Match": self._etag(path)})

    def remove(self, path: str) -> Reply:
        """DELETE the resource at `path`, in its state as it is now."""
        return self._request("DELETE", path, headers={"If-Match": self._etag(path)})

    def delete(self, path: str) -> Reply:
        """DELETE what has only one state."""
        return self._request("DELETE", path)

    def replace(self, path: str, body: Json, etag: str | None, **query: object) -> Reply:
        """PUT the resource at `path` in place of the state that `etag` names."""
        headers = {} if etag is None else {"If-Match": etag}
        return self._request("PUT", path, body=body, headers=headers, query=query)

    def _etag(self, path: str) -> str:
        etag = self.get(path).etag
        if etag is None:
            raise RegistryError(f"{self.url}{path}: answered without an ETag; is this a registry?")
        return etag

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, object] | None = None,
    ) -> Reply:
        try:
            response = self._http.request(
                method, path, json=body, headers=dict(headers or {}), params=_params(query or {})
            )
        except httpx.HTTPError as error:
            raise _unreached(self.url, error) from error
        if not response.is_success:
            raise _refused(self.url, method, response)
        if response.status_code == httpx.codes.NO_CONTENT:
            return Reply(None, None)
        found = _object(self.url + path, response.content)
        return Reply(found, response.headers.get("ETag"))


def _object(where: str, content: bytes | str) -> Json:
    """All that a registry says is objects, and none of them is empty."""
    try:
        found = json.loads(content, object_hook=_Object)
    except ValueError:
        raise RegistryError(
            f"{where}: the answer is not JSON; is this a peergate registry?"
        ) from None
    if not isinstance(found, _Object) or not found:
        raise RegistryError(f"{where}: the answer says nothing; is this a peergate registry?")
    return found


def connect(
    url: str | None,
    token_file: Path | None,
    ca_file: Path | None,
    family: Literal["4", "6"] | None = None,
) -> Registry:
    """The registry that options and environment name. Raises UsageError where they cannot be."""
    where = (url or DEFAULT_URL).rstrip("/")
    try:
        parts = httpx.URL(where)
    except httpx.InvalidURL:
        parts = httpx.URL("")
    if parts.scheme not in ("http", "https") or not parts.host:
        raise UsageError(f"--url {where}: must be an http or https address")
    return Registry(where, _token(token_file), ca_file, family)


def segment(name: object) -> str:
    """One part of a path: whatever is in it, it stays one part."""
    text = quote(str(name), safe="")
    return text if text.strip(".") else text.replace(".", "%2E")


def _params(query: Mapping[str, object]) -> dict[str, str | list[str]]:
    return {
        name: [*map(str, value)] if isinstance(value, list) else str(value)
        for name, value in query.items()
        if value is not None
    }


def _key() -> str:
    return str(uuid.uuid4())


def _token(file: Path | None) -> str | None:
    if file is None:
        token, source = os.environ.get("PEERGATE_TOKEN"), "PEERGATE_TOKEN"
    else:
        source = f"--token-file {file}"
        try:
            token = file.read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{source}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UsageError(f"{source}: holds no token") from None
    if not token:
        return None
    token = token.strip()
    if not token or not token.isascii() or any(char.isspace() for char in token):
        raise UsageError(f"{source}: holds no token: a token is one word of ASCII")
    return token


def _trust(url: str, ca_file: Path | None) -> ssl.SSLContext | bool:
    if not url.startswith("https:") or ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError):
        raise UsageError(f"--ca-file {ca_file}: holds no certificate that can be read") from None


def _over(family: str, verify: ssl.SSLContext | bool) -> httpx.HTTPTransport:
    own = "0.0.0.0" if family == "4" else "::"  # where from, not where to
    return httpx.HTTPTransport(verify=verify, local_address=own)


def _unreached(url: str, error: httpx.HTTPError) -> RegistryError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return RegistryError(
                f"{url}: its certificate is not trusted: {cause.verify_message}; "
                "give the authority with --ca-file"
            )
        if isinstance(cause, ssl.SSLError):
            return RegistryError(f"{url}: no TLS there ({cause.reason}); is it http, not https?")
        if isinstance(cause, ConnectionRefusedError):
            break
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ConnectionRefusedError):
        return RegistryError(
            f"{url}: connection refused: start the registry (peergate api serve), "
            "or name another with --url or PEERGATE_URL"
        )
    if isinstance(error, httpx.TimeoutException):
        return RegistryError(f"{url}: no answer in time; is the registry reachable from here?")
    return RegistryError(f"{url}: cannot be reached: {error or type(error).__name__}")


def _refused(url: str, method: str, response: httpx.Response) -> RegistryError:
    """The registry's problem+json as one line, and one more for each field."""
    status = response.status_code
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or "title" not in problem:
        return RegistryError(
            f"{url}: answered {status} {response.reason_phrase} to {method} "
            f"{response.request.url.path}; is this a peergate registry?",
            status=status,
        )
    return _told(problem)


def _told(problem: Json) -> RegistryError:
    """What the registry says it is, and what to do."""
    status = problem.get("status")
    message = str(problem.get("detail") or problem["title"])
    if status == httpx.codes.UNAUTHORIZED:
        message += ": set PEERGATE_TOKEN, or give --token-file"
    elif status == httpx.codes.PRECONDITION_FAILED:
        message += ": somebody changed it in the meantime; look at it, then try again"
    told = (e for e in problem.get("errors") or () if f"{e['value']}: {e['rule']}" not in message)
    kind = str(problem.get("type", "")).rpartition("/")[2]
    return RegistryError(message, tuple(map(_line, told)), status, kind)


def _line(problem: Mapping[str, Any]) -> str:
    """One of problem+json's errors: line, field, value, rule."""
    line = problem.get("line")
    where = None if line is None else f"line {line}"
    parts = (where, problem.get("field"), problem.get("value"), problem.get("rule"))
    return ": ".join(str(part) for part in parts if part not in (None, ""))
