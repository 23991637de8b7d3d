"""peergate rollout: canaries first, then the rest."""

from typing import Annotated

import typer
from rich.text import Text

from cli.client import Json, connect
from cli.errors import CliError
from cli.impact import DryRun, show_impact
from cli.options import AsJson, CaFile, TokenFile, Url, Yes, labels, seconds, spelled
from cli.output import ask, details, interactive, note, show, show_json, table, warn
from cli.revisions import show_changes

PATH = "/v1/rollout"


def group() -> typer.Typer:
    made = typer.Typer(no_args_is_help=True, help="Staged roll-out: changes go to canaries first.")
    made.command("set")(set_rule)
    made.command("status")(status)
    made.command("confirm")(confirm)
    made.command("abort")(abort)
    made.command("off")(off)
    return made


def set_rule(
    canary: Annotated[
        list[str],
        typer.Option(
            help="A label of the routers that have every revision first; repeatable, all must fit.",
            metavar="KEY=VALUE",
        ),
    ],
    hold: Annotated[
        str | None,
        typer.Option(
            help="After so long it goes on by itself, as in 15m; else it waits for confirm.",
            metavar="TIME",
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """From now on a change goes to canaries first. What was released stays so.

    Examples:
      peergate rollout set --canary stage=canary
      peergate rollout set --canary stage=canary --hold 15m
    """
    body: Json = {"canaries": labels(canary, "--canary"), "hold": None}
    if hold is not None:
        body["hold"] = seconds(hold, "--hold")
    with connect(url, token_file, ca_file) as registry:
        etag = registry.get(PATH).etag
        made = registry.replace(PATH, body, etag).body
    if as_json:
        show_json(made)
    else:
        _show(made)


def status(
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show what waits for a release, and how the canaries bear it.

    Examples:
      peergate rollout status
    """
    with connect(url, token_file, ca_file) as registry:
        found = registry.get(PATH).body
    if as_json:
        show_json(found)
    else:
        _show(found)


def confirm(
    revision: Annotated[
        int | None,
        typer.Option(help="Up to this one; else all that waits now.", metavar="REVISION", min=0),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Release what waits to the rest of the routers.

    Examples:
      peergate rollout confirm
      peergate rollout confirm --dry-run
      peergate rollout confirm --revision 42
    """
    with connect(url, token_file, ca_file) as registry:
        if revision is None:
            revision = registry.get(PATH).body["revision"]
        body: Json = {"revision": revision}
        if dry_run:
            _show_preview(registry.preview("POST", f"{PATH}/confirm", body), as_json)
            return
        found = registry.create(f"{PATH}/confirm", body).body
    if as_json:
        show_json(found)
    else:
        note(f"released up to revision {revision}")


def abort(
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Take back what waits: a new revision of what the rest has, for the canaries too.

    Examples:
      peergate rollout abort
      peergate rollout abort --dry-run
      peergate rollout abort --yes
    """
    if (
        not dry_run
        and not yes
        and interactive()
        and not ask("Take back all that waits for a release?")
    ):
        raise CliError("nothing was changed")
    with connect(url, token_file, ca_file) as registry:
        if dry_run:
            done = registry.preview("POST", f"{PATH}/abort")
        else:
            done = registry.create(f"{PATH}/abort", None).body
    if as_json:
        show_json(done)
    elif dry_run:
        show_changes(done)
        show_impact(done["impact"])
        note(f"{done['total']} changes with the canaries; nothing was done")
    else:
        show_changes(done)
        note(f"aborted with revision {done['revision']}")


def off(
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """From now on a change goes to all routers at once; so does what waits.

    Examples:
      peergate rollout off
      peergate rollout off --dry-run
      peergate rollout off --yes
    """
    if (
        not dry_run
        and not yes
        and interactive()
        and not ask("Release all that waits, and end the roll-out?")
    ):
        raise CliError("nothing was changed")
    with connect(url, token_file, ca_file) as registry:
        if dry_run:
            _show_preview(registry.preview("DELETE", PATH), as_json)
            return
        registry.remove(PATH)
    if as_json:
        show_json({"canaries": None})
    else:
        note("every change goes to all routers at once")


def _show_preview(found: Json, as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    show_impact(found["impact"])
    note(f"revision {found['revision']} would be released to the rest; nothing was done")


def _show(found: Json) -> None:
    if found["canaries"] is None:
        note("there is no staged roll-out: every change goes to all routers at once")
        return
    hold = found["hold"]
    show(
        details(
            {
                "canaries": spelled(found["canaries"]),
                "goes on": "when confirmed" if hold is None else f"after {hold:,} s",
                "revision": str(found["revision"]),
                "released": str(found["released"]),
                "due": found["due"],
            }
        )
    )
    routers = [(e["name"], _number(e["revision"]), e["trouble"]) for e in found["routers"]]
    show(table(("canary", "#revision", "trouble"), routers))
    if not found["pending"]:
        show(Text("nothing waits for a release"))
        return
    rows = [(str(e["revision"]), e["time"], e["author"], e["cause"]) for e in found["pending"]]
    show(table(("#waits", "time", "author", "cause"), rows))
    if found["stopped"]:
        warn(f"it does not go on by itself: {found['stopped']}")


def _number(revision: int | None) -> str | None:
    return None if revision is None else str(revision)
