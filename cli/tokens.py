"""peergate token: who may talk to the registry, and as what."""

from typing import Annotated, Literal

import typer

from cli.client import Json, connect, segment
from cli.options import AsJson, CaFile, TokenFile, Url
from cli.output import harmless, note, show, show_json, table

PATH = "/v1/tokens"


def group() -> typer.Typer:
    made = typer.Typer(no_args_is_help=True, help="Tokens: who may talk to the registry.")
    made.command("add")(add)
    made.command("list")(list_all)
    made.command("remove")(remove)
    return made


def add(
    name: Annotated[str, typer.Argument(help="Whose token it is.", metavar="NAME")],
    role: Annotated[
        Literal["viewer", "registrar", "approver", "agent", "auditor", "metrics", "admin"],
        typer.Option(help="What its bearer may do."),
    ],
    router: Annotated[
        str | None,
        typer.Option(
            help="Of role agent: the router that it is for; else the one of the token's name, "
            "which is made if it is not there.",
            metavar="ROUTER",
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="Not good from then on.", metavar="TIME")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Make a token. It alone goes to stdout, this once: the registry keeps only its hash.

    Examples:
      peergate token add edge-1 --role agent > /etc/peergate/token
      peergate token add alice --role approver --expires 2027-06-30T00:00:00Z
    """
    body: Json = {"name": name, "role": role}
    if expires is not None:
        body["expires"] = expires
    if router is not None:
        body["router"] = router
    with connect(url, token_file, ca_file) as registry:
        made = registry.create(PATH, body).body
    if as_json:
        show_json(made)
    else:
        typer.echo(harmless(made["token"]))


def list_all(
    role: Annotated[
        str | None, typer.Option(help="Only tokens of this role.", metavar="ROLE")
    ] = None,
    router: Annotated[
        str | None, typer.Option(help="Only those of this router's agent.", metavar="NAME")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """List tokens, without their secrets.

    Examples:
      peergate token list
      peergate token list --role admin
    """
    with connect(url, token_file, ca_file) as registry:
        tokens = list(registry.pages(PATH, role=role, router=router))
    if as_json:
        show_json(tokens)
        return
    rows = [
        (
            str(each["id"]),
            each["name"],
            each["role"],
            each["router"],
            each["created"],
            each.get("expires"),
        )
        for each in tokens
    ]
    show(table(("#id", "name", "role", "router", "created", "expires"), rows))


def remove(
    id_: Annotated[int, typer.Argument(help="The token's id.", metavar="ID", min=1)],
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Take a token back: its bearer is refused from the next request on.

    Examples:
      peergate token remove 3
    """
    with connect(url, token_file, ca_file) as registry:
        registry.delete(f"{PATH}/{segment(id_)}")
    if as_json:
        show_json({"removed": id_})
    else:
        note(f"token {id_} removed")
