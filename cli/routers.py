"""peergate router: the machines that follow the registry, and how they stand."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.client import Json, connect, segment
from cli.errors import CliError
from cli.impact import show_router
from cli.options import AsJson, CaFile, NamePrefix, TokenFile, Url, Yes, labels, spelled
from cli.output import ask, details, harmless, interactive, note, show, show_json, table, warn
from cli.router import strangers

PATH = "/v1/routers"

Name = Annotated[str, typer.Argument(help="The router's name.", metavar="NAME")]
_Label = typer.Option("--label", help="A label; repeatable.", metavar="KEY=VALUE")


def group() -> typer.Typer:
    made = typer.Typer(no_args_is_help=True, help="Routers: who follows, and how they stand.")
    made.command("add")(add)
    made.command("list")(list_all)
    made.command("show")(show_one)
    made.command("label")(label)
    made.command("token")(token)
    made.command("remove")(remove)
    made.command("strangers")(strangers)
    return made


def add(
    name: Name,
    label: Annotated[list[str] | None, _Label] = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Declare a router. Gateways that ask for labels go to routers that have them.

    Examples:
      peergate router add edge-1
      peergate router add edge-2 --label site=fra --label stage=canary
    """
    body: Json = {"name": name, "labels": labels(label or [], "--label")}
    with connect(url, token_file, ca_file) as registry:
        made = registry.create(PATH, body).body
    if as_json:
        show_json(made)
    else:
        note(f"router {made['name']} added; a token for its agent: peergate router token {name}")


def list_all(
    label: Annotated[
        list[str] | None,
        typer.Option(help="Only those with this label; repeatable.", metavar="KEY=VALUE"),
    ] = None,
    name_prefix: NamePrefix = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """List all routers: what they hold, how far behind they are, what is wrong.

    Examples:
      peergate router list
      peergate router list --label site=fra --json
    """
    wanted = spelled(labels(label or [], "--label"))
    with connect(url, token_file, ca_file) as registry:
        routers = list(registry.pages(PATH, label=wanted, name_prefix=name_prefix))
    if as_json:
        show_json(routers)
        return
    show(as_table(routers))
    for each in routers:
        for warning in each["warnings"]:
            warn(f"{each['name']}: {warning}")


def show_one(
    name: Name,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show one router.

    Examples:
      peergate router show edge-1
    """
    with connect(url, token_file, ca_file) as registry:
        router = registry.get(f"{PATH}/{segment(name)}").body
    if as_json:
        show_json(router)
        return
    show(details(_fields(router)))
    for warning in router["warnings"]:
        warn(warning)


def label(
    name: Name,
    label: Annotated[
        list[str], typer.Argument(help="All its labels anew, or `none`.", metavar="KEY=VALUE...")
    ],
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say which gateways would come and go; change nothing."),
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Give a router other labels, in place of those that it has. Its gateways follow.

    Examples:
      peergate router label edge-1 site=fra stage=canary
      peergate router label edge-1 site=fra --dry-run
      peergate router label edge-1 none
    """
    wanted = {} if label == ["none"] else labels(label, "label")
    path, body = f"{PATH}/{segment(name)}", {"labels": wanted}
    with connect(url, token_file, ca_file) as registry:
        if dry_run:
            show_router(registry.preview("PATCH", path, body), as_json)
            return
        changed = registry.change(path, body).body
    if as_json:
        show_json(changed)
    else:
        note(f"router {name}: {', '.join(spelled(changed['labels'])) or 'no labels'}")


def token(
    name: Name,
    expires: Annotated[
        str | None, typer.Option(help="Not good from then on.", metavar="TIME")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Make a token for a router's agent. It alone goes to stdout, this once.

    One made before stays good until it is removed, so that the two can be exchanged.

    Examples:
      peergate router token edge-1 > /etc/peergate/token
    """
    body: Json = {"name": name, "role": "agent", "router": name}
    if expires is not None:
        body["expires"] = expires
    with connect(url, token_file, ca_file) as registry:
        made = registry.create("/v1/tokens", body).body
    if as_json:
        show_json(made)
    else:
        typer.echo(harmless(made["token"]))


def remove(
    name: Name,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Remove a router: its tokens end. What it has in force stays there.

    Examples:
      peergate router remove edge-1 --yes
    """
    if not yes and interactive() and not ask(f"Remove router {name} and its tokens?"):
        raise CliError("nothing was removed")
    with connect(url, token_file, ca_file) as registry:
        registry.remove(f"{PATH}/{segment(name)}")
    if as_json:
        show_json({"removed": name})
    else:
        note(f"router {name} removed")


def as_table(routers: Iterable[Json]) -> Table:
    columns = ("router", "labels", "#revision", "#lag", "attached", "received", "#clock", "held")
    return table(columns, map(_row, routers))


def _row(router: Json) -> tuple[Any, ...]:
    report = router["report"]
    return (
        router["name"],
        spelled(router["labels"]),
        None if report is None else str(report["revision"]),
        router["lag"],
        _attached(report),
        router["received"],
        _seconds(router["clock_offset"]),
        None if report is None else report["held"],
    )


def _attached(report: Json | None) -> list[str]:
    return [
        f"{each['name']} {each['attach'] if each['attached'] else 'not attached'}"
        for each in (report or {}).get("interfaces", ())
    ]


def _seconds(offset: float | None) -> str | None:
    return None if offset is None else f"{offset:+.3f} s"


def _fields(router: Json) -> Json:
    fields: Json = {
        "router": router["name"],
        "labels": spelled(router["labels"]),
        "stage": router["stage"],
        "created": f"{router['created']} by {router['created_by']}",
        "received": router["received"],
    }
    if (report := router["report"]) is None:
        return fields
    entries = report["entries"]
    return fields | {
        "revision": str(report["revision"]),
        "lag": f"{router['lag']:,} revisions",
        "behind since": router["behind_since"],
        "version": report["version"],
        "kernel": report["kernel"],
        "interfaces": _attached(report),
        "entries": f"{entries['hosts']:,} hosts, {entries['prefixes']:,} prefixes",
        "repairs": report["repairs"],
        "clock": _seconds(router["clock_offset"]),
        "held": report["held"],
    }
