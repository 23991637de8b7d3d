"""peergate peer export, peergate export: all of it, whatever its length."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli.client import connect
from cli.errors import CliError
from cli.options import CaFile, TokenFile, Url
from cli.output import note
from cli.progress import counting

Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Into this file, whole or not at all; else stdout.", metavar="FILE"
    ),
]
_PEERS = ("/v1/peers/export", "application/x-ndjson")
_POLICY = ("/v1/policy", "application/yaml")


def peers(
    output: Output = None, url: Url = None, token_file: TokenFile = None, ca_file: CaFile = None
) -> None:
    """Write all peers, of every state, a JSON object a line.

    Examples:
      peergate peer export -o peers.ndjson
      peergate peer export | jq -r 'select(.state == "expired") | .contact'
    """
    with connect(url, token_file, ca_file) as registry, opened(output) as write:
        total = registry.get("/v1/status").body["peers"]
        kept = ("pending", "approved", "rejected", "revoked")
        with (
            counting("peers", sum(total[state] for state in kept)) as count,
            registry.stream(*_PEERS) as pieces,
        ):
            lines = 0
            for piece in pieces:
                write(piece)
                lines += piece.count(b"\n")
                count(lines)
    if output is not None:
        note(f"{output}: {lines} peers")


def policy(
    output: Output = None, url: Url = None, token_file: TokenFile = None, ca_file: CaFile = None
) -> None:
    """Write all gateways and all approved peers as a policy file, which `apply` takes.

    Examples:
      peergate export -o policy.yaml
    """
    with (
        connect(url, token_file, ca_file) as registry,
        opened(output) as write,
        counting("bytes") as count,
        registry.stream(*_POLICY) as pieces,
    ):
        size = 0
        for piece in pieces:
            write(piece)
            size += len(piece)
            count(size)
    if output is not None:
        note(f"{output}: {size} bytes")


@contextmanager
def opened(output: Path | None) -> Iterator[Callable[[bytes], object]]:
    """Stdout, or a file that has its name only once it is whole."""
    if output is None:
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    fresh = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with fresh.open("wb") as file:
            yield file.write
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(output)
    except OSError as error:
        raise CliError(f"{output}: cannot be written: {error.strerror or error}") from error
    finally:
        fresh.unlink(missing_ok=True)
