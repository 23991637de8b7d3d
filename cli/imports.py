"""peergate peer import: many peers at once, whole or not at all."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer

from cli.client import Json, Registry, connect
from cli.errors import CliError, UsageError
from cli.impact import show_impact
from cli.options import AsJson, CaFile, TokenFile, Url, Yes
from cli.output import ask, interactive, note, show_json, warn
from cli.progress import counting

_PATH = "/v1/peers/import"
_PIECE = 64 * 1024
_PHASES = {"check": "peers checked", "write": "peers written"}


def peers(
    file: Annotated[
        str,
        typer.Option("--file", "-f", help="A JSON object a line, - for stdin.", metavar="FILE"),
    ],
    state: Annotated[
        Literal["pending", "approved", "kept"] | None,
        typer.Option(help="What they become; kept: what each line says."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Revoke approved peers that no line names.")
    ] = False,
    accept_terms: Annotated[
        str | None,
        typer.Option(
            help="The version of the operator's terms of use that all of them keep to.",
            metavar="VERSION",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Register many peers at once, whole or not at all; they are pending unless said otherwise.

    A line is what `peer export` writes, or what `peer add` would send: name, gateway, owner,
    contact, purpose, sources. Rejected and revoked ones are left out.

    Examples:
      peergate peer import -f peers.ndjson
      peergate peer import -f peers.ndjson --state approved --dry-run
      peergate peer import -f exported.ndjson --replace
    """
    mode = "replace" if replace else None
    query = {"state": state, "mode": mode, "terms": accept_terms}
    with connect(url, token_file, ca_file) as registry:
        etag = None
        if dry_run or replace:
            if file == "-" and not dry_run:
                raise UsageError("--replace needs a file, which is read twice; not stdin")
            with opened(file) as source:
                planned = send(registry, _PATH, source, None, **query, dry_run="true")
            if dry_run:
                _done(planned, as_json)
                return
            etag = planned["etag"]
            revoked = planned["peers"]["revoked"]
            if (
                revoked
                and not yes
                and interactive()
                and not ask(f"This revokes {revoked} peers. Import?")
            ):
                raise CliError("nothing was changed")
        with opened(file) as source:
            _done(send(registry, _PATH, source, etag, **query), as_json)


def send(
    registry: Registry, path: str, source: BinaryIO, etag: str | None, **query: object
) -> Json:
    """The result of an import, whose progress a terminal shows."""
    with counting("lines sent") as sent:
        told = registry.upload(path, _pieces(source, sent), etag, **query)
        first = next(told, {})
    while "result" not in first:
        with counting(_PHASES[first["phase"]], first["total"]) as count:
            phase = first["phase"]
            while first.get("phase") == phase:
                count(first["done"])
                first = next(told)
    result: Json = first["result"]
    return result


@contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(file).open("rb") as source:
            yield source
    except OSError as error:
        raise CliError(f"{file}: cannot be read: {error.strerror or error}") from error


def counted(result: Json, kind: str) -> str:
    """What was done, in words: "2 added, 1 revoked"."""
    words = {"ended": "left out, because they have ended"}
    said = [f"{n} {words.get(what, what)}" for what, n in result[kind].items() if n]
    return ", ".join(said)


def _pieces(source: BinaryIO, sent: Callable[[int], None]) -> Iterator[bytes]:
    lines = 0
    while piece := source.read(_PIECE):
        yield piece
        lines += piece.count(b"\n")
        sent(lines)


def _done(result: Json, as_json: bool) -> None:
    for warning in result["warnings"]:
        warn(str(warning))
    if as_json:
        show_json(result)
        return
    if result["impact"] is not None:
        show_impact(result["impact"])
    verdict = "nothing was changed (dry run)" if result["dry_run"] else "imported"
    note(f"{counted(result, 'peers') or 'no peers'}: {verdict}, revision {result['revision']}")
