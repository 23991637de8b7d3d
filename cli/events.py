"""peergate events: what happened, and what happens."""

import json
import random
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from cli.client import Json, Registry, connect
from cli.errors import RegistryError
from cli.options import CaFile, TokenFile, Url, moment
from cli.output import harmless, note, show_json_line, warn

# Statuses after which coming back is no use: who calls, or what it asks for, is wrong.
_FINAL = (401, 403, 409, 410, 422)
_LONGEST = 30.0


def events(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens, until interrupted.")
    ] = False,
    type_: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only of this type; repeatable.", metavar="TYPE"),
    ] = None,
    since: Annotated[str | None, typer.Option(help="From then on.", metavar="TIME")] = None,
    after: Annotated[
        int | None, typer.Option(help="After the event of this number.", min=0, metavar="ID")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each.")] = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show what happened: all that is kept, or with --follow what happens from now on.

    A connection that is lost is made anew; none is left out and none comes twice.

    Examples:
      peergate events --since 2026-11-28T00:00:00Z
      peergate events --follow --type peer.requested
      peergate events --follow --json --after 1207
    """
    moment(since, "--since")
    query = {"types": type_, "since": since, "follow": follow}
    with connect(url, token_file, ca_file) as registry:
        for event in _all(registry, query, after, follow=follow):
            if as_json:
                show_json_line(event, at_once=True)
            else:
                note(_line(event))


def _all(registry: Registry, query: Json, place: int | None, *, follow: bool) -> Iterator[Json]:
    """Each event once. Without `follow` the first loss of the connection is an error."""
    failures = 0
    while True:
        try:
            asked = {**query, "after": place}
            with registry.stream("/v1/events", "text/event-stream", **asked) as content:
                for number, event in _pieces(content):
                    place, failures = number, 0
                    if event is not None:
                        yield event
        except RegistryError as error:
            if not follow or error.status in _FINAL or (place is None and failures == 0):
                raise
            failures += 1
            warn(f"{error.message}; trying again")
        else:
            if not follow:
                return
        # So that all who were cut off at once do not come back at once.
        time.sleep(random.uniform(0.5, 1) * min(2.0**failures, _LONGEST))


def _pieces(content: Iterator[bytes]) -> Iterator[tuple[int, Json | None]]:
    """Each number as it is reached, with the event that has it, if there is one for us."""
    rest = b""
    for part in content:
        *pieces, rest = (rest + part).split(b"\n\n")
        for piece in pieces:
            try:
                fields = dict(_field(line) for line in piece.decode().split("\n"))
                if "id" in fields:  # else a comment, as proxies send it
                    event = fields.get("data")
                    yield int(fields["id"]), None if event is None else json.loads(event)
            except ValueError:
                raise RegistryError("these are no events; is this a peergate registry?") from None


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.removeprefix(" ")


def _line(event: Json) -> str:
    subject = event["subject"] if event["count"] == 1 else f"{event['count']:,} of them"
    content = event["content"]
    shown = [
        f"{name}={_value(content[name])}" for name in content if content[name] not in (None, {}, [])
    ]
    parts = (event["time"], event["type"], subject, f"by {event['author']}", *shown)
    return "  ".join(harmless(part) for part in parts if part)


def _value(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return ",".join(f"{name}:{each}" for name, each in value.items())
    return str(value)
