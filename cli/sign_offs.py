"""peergate stranger sign-off, take-back, sign-offs: whom the operator ignores on purpose."""

from typing import Annotated

import typer

from cli.client import Json, Registry, connect
from cli.errors import CliError
from cli.options import AsJson, CaFile, TokenFile, Url
from cli.output import note, show, show_json, table

PATH = "/v1/sign-offs"

Prefix = Annotated[str, typer.Argument(help="An address, or a prefix.", metavar="SOURCE|PREFIX")]
At = Annotated[str, typer.Option("--gateway", help="At this gateway alone.", metavar="NAME")]


def add_to(group: typer.Typer) -> None:
    group.command("sign-off")(sign_off)
    group.command("take-back")(take_back)
    group.command("sign-offs")(list_all)


def sign_off(
    prefix: Prefix,
    gateway: At,
    reason: Annotated[str, typer.Option(help="Why; kept, and in the audit trail.", metavar="TEXT")],
    until: Annotated[
        str | None, typer.Option(help="From then on they count again.", metavar="TIME")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Ignore strangers on purpose: it lets nobody in. Needs the role approver.

    Examples:
      peergate stranger sign-off 203.0.113.9 --gateway hub --reason "A scanner"
      peergate stranger sign-off 192.0.2.0/24 --gateway hub \\
          --reason "Moves to the new hub" --until 2027-01-31T00:00:00Z
    """
    body: Json = {"gateway": gateway, "prefix": prefix, "reason": reason}
    if until is not None:
        body["until"] = until
    with connect(url, token_file, ca_file) as registry:
        made = registry.create(PATH, body).body
    if as_json:
        show_json(made)
    else:
        note(f"strangers from {made['prefix']} at {gateway} are signed off")


def take_back(
    prefix: Prefix,
    gateway: At,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Take a sign-off back: these strangers count again. Needs the role approver.

    Examples:
      peergate stranger take-back 203.0.113.9 --gateway hub
    """
    with connect(url, token_file, ca_file) as registry:
        found = _find(registry, prefix, gateway)
        registry.remove(f"{PATH}/{found['id']}")
    if as_json:
        show_json({"taken_back": found["id"]})
    else:
        note(f"strangers from {found['prefix']} at {gateway} count again")


def list_all(
    gateway: Annotated[
        str | None, typer.Option(help="Only those at this gateway.", metavar="NAME")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """List what is signed off.

    Examples:
      peergate stranger sign-offs --gateway hub
    """
    with connect(url, token_file, ca_file) as registry:
        found = list(registry.pages(PATH, gateway=gateway))
    if as_json:
        show_json(found)
        return
    names = ("gateway", "prefix", "reason", "created_by", "created", "until")
    rows = [[each[name] for name in names] for each in found]
    show(table(("gateway", "prefix", "reason", "by", "since", "until"), rows))


def _find(registry: Registry, prefix: str, gateway: str) -> Json:
    from policy.prefixes import parse_source

    try:
        source = parse_source(prefix)
    except ValueError as error:
        raise CliError(f"{prefix}: {error}") from None
    wanted = str(source.network_address if source.num_addresses == 1 else source)
    for each in registry.pages(PATH, gateway=gateway):
        if each["prefix"] == wanted:
            return each
    raise CliError(
        f"{prefix}: is not signed off at {gateway}; see `peergate stranger sign-offs`: it is taken "
        "back as a whole, as it was made"
    )
