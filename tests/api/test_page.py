"""The page's files, as they are served, and what they must not do."""

import re
from pathlib import Path

import pytest

from api.event_types import EventType
from api.routes import page
from tests.api.conftest import Service, on_sqlite

PAGE = Path(page.__file__).parents[1] / "page"
OWN = [file for file in sorted(PAGE.rglob("*")) if file.is_file() and "vendor" not in file.parts]
SCRIPTS = [file for file in OWN if file.suffix == ".js"]


@on_sqlite
def test_what_is_served(service: Service) -> None:
    answered = service.nobody.get("/")
    assert answered.status_code == 200
    assert answered.headers["Content-Type"] == "text/html; charset=utf-8"
    said = answered.headers["Content-Security-Policy"]
    policy = dict(each.split(" ", 1) for each in said.split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert answered.headers["X-Content-Type-Options"] == "nosniff"
    assert answered.headers["Referrer-Policy"] == "same-origin"
    for file in sorted(PAGE.rglob("*")):
        path = f"/page/{file.relative_to(PAGE).as_posix()}"
        served = service.nobody.get("/" if file.name == "index.html" else path)
        if file.is_dir() or file.name == "LICENSE":
            assert served.status_code == 404
            continue
        assert (served.status_code, served.content) == (200, file.read_bytes()), path
        same = dict(answered.headers) | dict(served.headers)
        assert same["content-security-policy"] == said
        etag = served.headers["ETag"]
        for tag in (etag, f'"x", W/{etag}'):
            again = service.nobody.get(str(served.request.url), headers={"If-None-Match": tag})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["ETag"] == etag
    assert service.nobody.request("HEAD", "/").content == b""


@on_sqlite
@pytest.mark.parametrize(
    "path", ["/page/", "/page/../app.py", "/page/%2e%2e/app.py", "/index.html"]
)
def test_nothing_else_is(service: Service, path: str) -> None:
    assert service.nobody.get(path).status_code == 404


@on_sqlite
def test_it_is_read_only(service: Service) -> None:
    refused = service.nobody.post("/")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")


def test_scripts_ask_for_what_is_there() -> None:
    found = 0
    for file in SCRIPTS:
        for name in re.findall(r'^import .* from "(.+)";$', file.read_text(), re.MULTILINE):
            assert (file.parent / name).resolve().is_file(), (file.name, name)
            found += 1
    document = (PAGE / "index.html").read_text()
    named = set(re.findall(r'(?:href|src)="/page/([^"]+)"', document))
    assert all((PAGE / name).is_file() for name in named)
    # All at once, not one after the other.
    assert {file.relative_to(PAGE).as_posix() for file in PAGE.rglob("*.js")} <= named
    assert found > 50


def test_no_text_becomes_markup_and_nothing_is_kept() -> None:
    """The browser refuses most of it, too: this says so before."""
    never = (
        r"\b(innerHTML|outerHTML|insertAdjacentHTML|DOMParser|srcdoc|document\.write|eval)\b",
        r"\b(localStorage|sessionStorage|indexedDB)\b|document\.cookie",
        r"https?://",
        r"\bFunction\(",
    )
    for file in OWN:
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        for pattern in never:
            assert not re.search(pattern, text), (file.name, pattern)
    document = (PAGE / "index.html").read_text()
    assert not re.search(r"<style|<script(?![^>]* src=)|\son[a-z]+=|\sstyle=|javascript:", document)


def test_every_kind_of_event_is_listened_to() -> None:
    text = (PAGE / "parts/stream.js").read_text()
    (table,) = re.findall(r"const KINDS = \{(.*?)\n\};", text, re.DOTALL)
    heard = {
        f"{kind}.{name}"
        for kind, names in re.findall(r'(\w+):\s+((?:"[^"]+"(?: \+\s+)?)+)', table)
        for name in " ".join(re.findall(r'"([^"]+)"', names)).split()
    }
    # What is of no view: nobody looks at it here.
    unseen = ("task.", "token.", "webhook.")
    assert heard == {each for each in EventType if not each.startswith(unseen)}
