"""peergate peer propose, grant, decline: changes of approved peers that take two."""

from typing import Annotated

import typer

from cli.client import Json, connect
from cli.errors import UsageError
from cli.impact import DryRun, foresee
from cli.options import AsJson, CaFile, TokenFile, Url
from cli.peer import Reason, Which, act, done


def add_to(group: typer.Typer) -> None:
    for command in (propose, grant, decline):
        group.command(command.__name__)(command)


def propose(
    peer: Which,
    until: Annotated[
        str | None, typer.Option(help="Its new end, or none for no end.", metavar="TIME")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="All its sources anew; repeatable.", metavar="PREFIX")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="What for.", metavar="TEXT")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Ask for a renewal of an approved peer, or for other sources; an approver grants it.

    Until then nothing changes. It takes the place of a proposal before it.

    Examples:
      peergate peer propose branch-7 --until 2028-01-31T00:00:00Z
      peergate peer propose branch-7 --source 203.0.113.7 --source 203.0.113.8 \\
          --reason "A second line"
      peergate peer propose branch-7 --source 203.0.113.8 --dry-run
    """
    body: Json = {}
    if until is not None:
        body["valid_until"] = None if until == "none" else until
    if source:
        body["sources"] = source
    if not body:
        raise UsageError("nothing to propose: give --until or --source, see --help")
    if reason is not None:
        body["reason"] = reason
    with connect(url, token_file, ca_file) as registry:
        if dry_run:
            foresee(registry, peer, "propose", body, as_json)
            return
        done(act(registry, peer, "propose", body), "is proposed to change", as_json)


def grant(
    peer: Which,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Put in force what was proposed for a peer; `peergate peer show` says what that is.

    Examples:
      peergate peer grant branch-7
      peergate peer grant branch-7 --dry-run
    """
    with connect(url, token_file, ca_file) as registry:
        if dry_run:
            foresee(registry, peer, "grant", None, as_json)
            return
        done(act(registry, peer, "grant"), "changed as proposed", as_json)


def decline(
    peer: Which,
    reason: Reason,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Turn down what was proposed for a peer; it stays as it is.

    Examples:
      peergate peer decline branch-7 --reason "Ask again in January"
    """
    with connect(url, token_file, ca_file) as registry:
        done(act(registry, peer, "decline", {"reason": reason}), "stays as it is", as_json)


def lines(proposal: Json | None) -> list[str] | None:
    """A proposal as `show` has it."""
    if proposal is None:
        return None
    said = [f"{name}: {_value(value)}" for name, value in proposal["fields"].items()]
    if proposal["reason"]:
        said.append(f"reason: {proposal['reason']}")
    said.append(f"by {proposal['proposed_by']}, {proposal['proposed']}")
    if proposal["declined"]:
        said.append(f"declined by {proposal['declined_by']}: {proposal['declined']}")
    return said


def _value(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)
