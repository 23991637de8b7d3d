"""peergate revision and rollback: what the registry was, and the way back."""

from itertools import islice
from typing import Annotated

import typer
from rich.text import Text

from cli.client import Json, Registry, connect
from cli.errors import CliError
from cli.impact import show_impact
from cli.options import AsJson, CaFile, TokenFile, Url, Yes
from cli.output import ask, interactive, note, show, show_json, table

PATH = "/v1/rollback"


def group() -> typer.Typer:
    made = typer.Typer(no_args_is_help=True, help="Revisions: every change of the allowlist.")
    made.command("list")(list_all)
    return made


def list_all(
    limit: Annotated[int, typer.Option(help="The latest so many.", min=1)] = 20,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """List revisions, the latest first: who made each, why, and whether one can go back to it.

    Examples:
      peergate revision list
      peergate revision list --limit 500 --json
    """
    with connect(url, token_file, ca_file) as registry:
        found = list(islice(registry.pages("/v1/revisions"), limit))
    if as_json:
        show_json(found)
        return
    rows = [
        (str(each["revision"]), each["time"], each["author"], each["cause"], each["kept"])
        for each in found
    ]
    show(table(("#revision", "time", "author", "cause", "kept"), rows))


def rollback(
    to_revision: Annotated[
        int, typer.Option(help="Make it as it was then.", metavar="REVISION", min=0)
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change.")
    ] = False,
    urgent: Annotated[
        bool, typer.Option("--urgent", help="Past a staged roll-out, at once to all routers.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Make a new revision with the gateways and approved peers of an earlier one.

    Who was let in since then is revoked, who was revoked since then is approved again.

    Examples:
      peergate rollback --to-revision 41 --dry-run
      peergate rollback --to-revision 41
      peergate rollback --to-revision 41 --urgent --dry-run
      peergate rollback --to-revision 41 --urgent --yes
    """
    body: Json = {"to_revision": to_revision}
    with connect(url, token_file, ca_file) as registry:
        planned, etag = registry.send(PATH, body, dry_run=True, urgent=urgent)
        done = planned
        if not dry_run and planned["changes"]:
            if not as_json:
                show_changes(planned)
            if not yes and interactive() and not ask(f"Go back to revision {to_revision}?"):
                raise CliError("nothing was changed")
            done = _carry_out(registry, body, etag, urgent=urgent)
    if as_json:
        show_json(done)
    elif dry_run:
        show_changes(planned)
        _show_impacts(planned)
        note(f"{planned['total']} changes; nothing was done")
    elif not planned["changes"]:
        note(f"nothing differs from revision {to_revision}")
    else:
        note(f"revision {done['revision']} is as revision {to_revision} was")


def _carry_out(registry: Registry, body: Json, etag: str | None, *, urgent: bool) -> Json:
    done: Json = registry.send(PATH, body, etag, urgent=urgent)[0]
    return done


def _show_impacts(planned: Json) -> None:
    if planned["impact_on_rest"] is None:
        show_impact(planned["impact"])
        return
    show(Text("At the canaries:", style="bold"))
    show_impact(planned["impact"])
    show(Text("At the other routers, which get what waits with it:", style="bold"))
    show_impact(planned["impact_on_rest"])


def show_changes(done: Json) -> None:
    """The first of them, and how many more there are."""
    changes = done["changes"]
    rows = [
        (each["action"], each["kind"], each["gateway"], each["name"], _fields(each["fields"]))
        for each in changes
    ]
    show(table(("action", "kind", "gateway", "name", "fields"), rows))
    if (more := done["total"] - len(changes)) > 0:
        note(f"and {more} more")


def _fields(fields: dict[str, list[object]]) -> list[str]:
    """Before and after; of what comes or goes as a whole, nothing."""
    if any(all(pair[side] is None for pair in fields.values()) for side in (0, 1)):
        return []
    return [f"{name}: {before} -> {after}" for name, (before, after) in fields.items()]
