"""Options that several commands take, worded once."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Urgent = Annotated[
    bool, typer.Option("--urgent", help="Past a staged roll-out, at once to all routers.")
]
Url = Annotated[
    str | None,
    typer.Option(
        envvar="PEERGATE_URL",
        help="The registry, as in https://registry.example.net.",
        metavar="URL",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(help="A file with the bearer token; else PEERGATE_TOKEN.", metavar="FILE"),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        envvar="PEERGATE_CA_FILE",
        help="The certificate authority to trust for an https registry.",
        metavar="FILE",
    ),
]
AgentConfig = Annotated[
    Path | None,
    typer.Option(
        "--config", help="The agent's settings; default /etc/peergate/agent.toml.", metavar="FILE"
    ),
]
Now = Annotated[
    str | None,
    typer.Option(help="Judge as of this moment, as in 2026-12-01T00:00:00Z.", metavar="TIME"),
]


def moment(text: str | None, option: str) -> datetime | None:
    """An RFC 3339 time with its zone."""
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
        if parsed.tzinfo is not None:
            return parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"{option} {text}: must be a time with its zone, as in 2026-12-01T00:00:00Z")


def seconds(text: str, option: str) -> int:
    """A number with its unit."""
    found = re.fullmatch(r"([1-9][0-9]{0,7})([smhd])", text)
    if found is None:
        raise UsageError(
            f"{option} {text}: must be a number with its unit, as in 90s, 15m, 2h or 1d"
        )
    return int(found[1]) * _SECONDS[found[2]]


NamePrefix = Annotated[str | None, typer.Option(help="Only names that begin so.", metavar="TEXT")]


def labels(texts: list[str], option: str) -> dict[str, str]:
    """KEY=VALUE, each key once."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise UsageError(f"{option} {text}: must be KEY=VALUE, as in site=fra")
        if key in found:
            raise UsageError(f"{option} {text}: {key} stands twice")
        found[key] = value
    return found


def spelled(labels: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in sorted(labels.items())]
