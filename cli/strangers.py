"""peergate stranger: who talks to gateways without a registration, and what becomes of them."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Literal

import typer
from rich.table import Table

from cli import sign_offs
from cli.client import Json, Registry, connect
from cli.errors import CliError, UsageError
from cli.options import AsJson, CaFile, TokenFile, Url, moment
from cli.output import details, note, show, show_json, table
from cli.peer import done
from cli.sheet import AsCsv, one_form, say_there_is_more, show_csv

PATH = "/v1/strangers"
_CSV = (
    *("gateway", "source", "service", "first_seen", "last_seen", "minutes", "packets"),
    *("packets_error", "dropped", "routers", "owned.prefix", "owned.owner", "owned.contact"),
    *("covered.peer", "covered.name", "covered.state", "signed_off.reason", "signed_off.until"),
)
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_SPAN = re.compile(r"([0-9]{1,5})([dhm])")

Source = Annotated[str, typer.Argument(help="The address that was seen.", metavar="SOURCE")]
At = Annotated[str, typer.Option("--gateway", help="The gateway that it talks to.", metavar="NAME")]


def group() -> typer.Typer:
    text = "Strangers: who talks to gateways and is not registered, or not any more."
    made = typer.Typer(no_args_is_help=True, help=text)
    made.command("list")(list_all)
    made.command("show")(show_one)
    made.command("register")(register)
    sign_offs.add_to(made)
    return made


def list_all(
    gateway: Annotated[
        str | None, typer.Option(help="Only those at this gateway.", metavar="NAME")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only those seen since: a time, or 7d, 36h, 90m.", metavar="TIME"),
    ] = None,
    service: Annotated[
        str | None, typer.Option(help="Only of this service.", metavar="SERVICE")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Only in this prefix.", metavar="PREFIX")
    ] = None,
    min_minutes: Annotated[
        int | None, typer.Option(help="Only those seen in so many minutes.", min=0, metavar="N")
    ] = None,
    min_packets: Annotated[
        int | None, typer.Option(help="Only those of so many packets.", min=0, metavar="N")
    ] = None,
    sort: Annotated[
        Literal["minutes", "packets", "last_seen"],
        typer.Option(help="What comes first: the most persistent, the heaviest, the latest."),
    ] = "minutes",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, metavar="N")] = 50,
    everyone: Annotated[
        bool,
        typer.Option("--all", help="Also those that are registered meanwhile, or signed off."),
    ] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """List strangers: those seen in the most minutes first, for they try again and again.

    Packets are an estimate with its standard error: routers look at samples.

    Examples:
      peergate stranger list --gateway hub --since 7d
      peergate stranger list --service udp/51820 --sort packets --limit 20
      peergate stranger list --source 203.0.113.0/24 --all --json
      peergate stranger list --gateway hub --limit 20000 --csv > strangers.csv
    """
    one_form(as_json=as_json, as_csv=as_csv)
    wanted = {
        "gateway": gateway,
        "since": None if since is None else _since(since),
        "service": None if service is None else _service(service),
        "source": source,
        "min_minutes": min_minutes,
        "min_packets": min_packets,
        "sort": f"-{sort}",
        "covered": everyone,
        "signed_off": everyone,
    }
    with connect(url, token_file, ca_file) as registry:
        found = list(islice(registry.pages(PATH, **wanted), limit + 1))
    if as_json:
        show_json(found[:limit])
        return
    if as_csv:
        show_csv(found[:limit], _CSV)
        if len(found) > limit:
            say_there_is_more(limit)
        return
    show(as_table(found[:limit]))
    if len(found) > limit:
        note(f"these are the first {limit}: --limit shows more")


def show_one(
    source: Source,
    gateway: Annotated[str | None, typer.Option(help="Only there.", metavar="NAME")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show all that is known of one stranger, a part for each gateway and service.

    Examples:
      peergate stranger show 203.0.113.9
      peergate stranger show 203.0.113.9 --gateway hub --json
    """
    with connect(url, token_file, ca_file) as registry:
        found = [registry.get(f"{PATH}/{e['id']}").body for e in _find(registry, source, gateway)]
    if as_json:
        show_json(found)
        return
    for number, each in enumerate(found):
        if number:
            note("")
        show(details(_said(each)))


def register(
    source: Source,
    gateway: At,
    purpose: Annotated[str, typer.Option(help="What the tunnel is for.", metavar="TEXT")],
    owner: Annotated[
        str | None, typer.Option(help="The team responsible; else the prefix's.", metavar="TEXT")
    ] = None,
    contact: Annotated[
        str | None, typer.Option(help="Their mail address; else the prefix's.", metavar="MAIL")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The peer's name; else made of the source.", metavar="NAME")
    ] = None,
    prefix_length: Annotated[
        int | None, typer.Option(help="Register so long a prefix around it.", metavar="N")
    ] = None,
    valid_from: Annotated[str | None, typer.Option(help="Not before.", metavar="TIME")] = None,
    valid_until: Annotated[str | None, typer.Option(help="Not after.", metavar="TIME")] = None,
    accept_terms: Annotated[
        str | None,
        typer.Option(
            help="The version of the operator's terms of use that you keep to.", metavar="VERSION"
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Make a stranger a peer: pending, until somebody approves it.

    Examples:
      peergate stranger register 203.0.113.9 --gateway hub \\
          --owner "Branch networks" --contact netops@example.net \\
          --purpose "Site-to-site tunnel of branch 9"
    """
    said = {
        "name": name,
        "owner": owner,
        "contact": contact,
        "purpose": purpose,
        "prefix_length": prefix_length,
        "valid_from": valid_from,
        "valid_until": valid_until,
        "terms": accept_terms,
    }
    body: Json = {field: value for field, value in said.items() if value is not None}
    with connect(url, token_file, ca_file) as registry:
        found = _find(registry, source, gateway)
        peer = registry.create(f"{PATH}/{found[0]['id']}/register", body).body
    done(peer, "registered", as_json)


def _find(registry: Registry, source: str, gateway: str | None) -> list[Json]:
    every = {"covered": True, "signed_off": True}
    found = list(registry.pages(PATH, source=source, gateway=gateway, **every))
    if not found:
        where = "" if gateway is None else f" at {gateway}"
        raise CliError(
            f"{source}: no stranger was seen from there{where}; see `peergate stranger list "
            "--all`. Whom nobody has seen yet is registered with `peergate peer add`"
        )
    if len({each["source"] for each in found}) > 1:
        raise CliError(
            f"{source}: several strangers are in there: name one address; see "
            f"`peergate stranger list --source {source}`"
        )
    return found


def _since(text: str) -> str:
    """The moment, as the registry takes it."""
    if span := _SPAN.fullmatch(text):
        then = datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
        return then.isoformat()
    try:
        moment(text, "--since")
    except UsageError:
        raise UsageError(
            f"--since {text}: must be a time with its zone, or days, hours or minutes, as in "
            "2026-12-01T00:00:00Z, 7d, 36h, 90m"
        ) from None
    return text


def _service(text: str) -> str:
    """Spelled as on the wire."""
    from policy.services import parse_service

    try:
        services = parse_service(text)
    except ValueError as error:
        raise UsageError(f"--service {text}: {error}") from None
    if len(services) > 1:
        raise UsageError(f"--service {text}: say one of {', '.join(map(str, services))}")
    return str(services[0])


def as_table(strangers: Iterable[Json]) -> Table:
    columns = ("gateway", "source", "service", "#minutes", "#packets", "last seen", "seen")
    return table((*columns, "owner", "state"), map(_row, strangers))


def _row(found: Json) -> tuple[object, ...]:
    return (
        found["gateway"],
        found["source"],
        found["service"],
        found["minutes"],
        _packets(found),
        found["last_seen"],
        _action(found),
        (found["owned"] or {}).get("owner"),
        _state(found),
    )


def _packets(found: Json) -> str:
    return f"{found['packets']:,} ±{found['packets_error']:,}"


def _action(found: Json) -> str:
    return "dropped" if found["dropped"] else "would drop"


def _state(found: Json) -> list[str]:
    """Who is signed off stays so with a registration that has ended."""
    lines = []
    if covered := found["covered"]:
        lines.append(f"covered by peer {covered['peer']}, {covered['state']}")
    if (signed := found["signed_off"]) and (not covered or covered["state"] == "expired"):
        lines.append(f"signed off by {signed['created_by']}: {signed['reason']}")
    return lines


def _said(found: Json) -> dict[str, object]:
    owned = found["owned"] or {}
    days = found["days"]
    return {
        "gateway": found["gateway"],
        "source": found["source"],
        "service": found["service"],
        "first seen": found["first_seen"],
        "last seen": found["last_seen"],
        "minutes": found["minutes"],
        "days": f"{len(days)} of the last 30",
        "packets": f"{_packets(found)}, of {found['samples']:,} samples",
        "seen": _action(found),
        "routers": found["routers"],
        "state": _state(found),
        "names": found["names"],
        "prefix": owned.get("prefix"),
        "owner": owned.get("owner"),
        "contact": owned.get("contact"),
    }
