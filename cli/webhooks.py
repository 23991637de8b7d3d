"""peergate webhook: who else is told of what happens."""

from typing import Annotated

import typer

from cli.client import Json, connect, segment
from cli.errors import CliError, UsageError
from cli.options import AsJson, CaFile, TokenFile, Url
from cli.output import details, harmless, note, show, show_json, table

PATH = "/v1/webhooks"

Name = Annotated[str, typer.Argument(help="The webhook's name.", metavar="NAME")]
Types = Annotated[
    list[str] | None,
    typer.Option("--type", help="Only events of this type; repeatable.", metavar="TYPE"),
]


def group() -> typer.Typer:
    made = typer.Typer(no_args_is_help=True, help="Webhooks: who is told of what happens.")
    made.command("add")(add)
    made.command("list")(list_all)
    made.command("show")(show_one)
    made.command("set")(change)
    made.command("renew")(renew)
    made.command("test")(send_test)
    made.command("remove")(remove)
    return made


def add(
    name: Name,
    to: Annotated[str, typer.Option(help="Where events are POSTed to.", metavar="URL")],
    type_: Types = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Make a webhook. Its secret alone goes to stdout, this once: signatures are checked with it.

    Examples:
      peergate webhook add pager --to https://hooks.example.net/peergate \\
          --type peer.requested --type router.silent > pager.secret
    """
    body: Json = {"name": name, "url": to, "types": type_ or []}
    with connect(url, token_file, ca_file) as registry:
        made = registry.create(PATH, body).body
    if as_json:
        show_json(made)
    else:
        typer.echo(harmless(made["secret"]))


def list_all(
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """List webhooks and how they fare.

    Examples:
      peergate webhook list
    """
    with connect(url, token_file, ca_file) as registry:
        found = list(registry.pages(PATH))
    if as_json:
        show_json(found)
        return
    columns = ("name", "url", "types", "state", "#place", "delivered", "error")
    show(table(columns, [[each[name.removeprefix("#")] for name in columns] for each in found]))


def show_one(
    name: Name,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show one webhook.

    Examples:
      peergate webhook show pager
    """
    with connect(url, token_file, ca_file) as registry:
        found = registry.get(f"{PATH}/{segment(name)}").body
    if as_json:
        show_json(found)
    else:
        show(details(found))


def change(
    name: Name,
    to: Annotated[
        str | None, typer.Option(help="Where events are POSTed to.", metavar="URL")
    ] = None,
    type_: Types = None,
    all_types: Annotated[bool, typer.Option("--all-types", help="Events of every type.")] = False,
    enable: Annotated[
        bool | None,
        typer.Option(
            "--enable/--disable",
            help="Also sets one going again that has failed.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Change a webhook. One that is enabled goes on where it stopped.

    Examples:
      peergate webhook set pager --disable
      peergate webhook set pager --type peer.expiring --type peer.expired
    """
    if type_ and all_types:
        raise UsageError("--type and --all-types: one at a time")
    body: Json = {"url": to, "types": [] if all_types else type_, "enabled": enable}
    body = {field: value for field, value in body.items() if value is not None}
    if not body:
        raise UsageError("nothing to change: see `peergate webhook set --help`")
    with connect(url, token_file, ca_file) as registry:
        changed = registry.change(f"{PATH}/{segment(name)}", body).body
    if as_json:
        show_json(changed)
    else:
        note(f"webhook {name} changed, now {changed['state']}")


def renew(
    name: Name,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Make a webhook another secret, which alone goes to stdout, this once.

    For a day what is sent carries a signature of the former one, too.

    Examples:
      peergate webhook renew pager > pager.secret
    """
    with connect(url, token_file, ca_file) as registry:
        made = registry.create(f"{PATH}/{segment(name)}/secret", {}).body
    if as_json:
        show_json(made)
    else:
        typer.echo(harmless(made["secret"]))


def send_test(
    name: Name,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Send a webhook an event of the type webhook.test, once and now.

    Examples:
      peergate webhook test pager
    """
    with connect(url, token_file, ca_file) as registry:
        done = registry.create(f"{PATH}/{segment(name)}/test", {}).body
    if as_json:
        show_json(done)
    if not done["taken"]:
        raise CliError(f"webhook {name}: {done['error']}")
    if not as_json:
        note(f"webhook {name} took the test")


def remove(
    name: Name,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Remove a webhook: it is told of nothing any more.

    Examples:
      peergate webhook remove pager
    """
    with connect(url, token_file, ca_file) as registry:
        registry.remove(f"{PATH}/{segment(name)}")
    if as_json:
        show_json({"removed": name})
    else:
        note(f"webhook {name} removed")
