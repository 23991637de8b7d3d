"""The page at /: files beside this package, as they are. There is nothing to build."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import Request
from starlette.responses import Response
from starlette.routing import Route

_DIRECTORY = Path(__file__).parents[1] / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
# What comes from here may load and ask what is here, and nothing else; a script that tries to make
# elements of text is stopped by the browser.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "connect", "img")),
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    # Asked for again each time, and answered without a body where nothing changed.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def routes() -> list[Route]:
    """The document at /, the rest below /page/. None of it is anybody's secret."""
    found = []
    for file in sorted(_DIRECTORY.rglob("*")):
        if file.suffix in _TYPES:
            name = file.relative_to(_DIRECTORY).as_posix()
            path = "/" if name == "index.html" else f"/page/{name}"
            found.append(Route(path, _answering(file), methods=["GET"], include_in_schema=False))
    return found


def _answering(file: Path) -> Callable[[Request], Awaitable[Response]]:
    content = file.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = _HEADERS | {"ETag": etag}

    async def answer(request: Request) -> Response:
        asked = request.headers.get("If-None-Match", "")
        if etag in (each.strip().removeprefix("W/") for each in asked.split(",")):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers | {"Content-Type": _TYPES[file.suffix]})

    return answer
