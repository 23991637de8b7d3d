"""peergate gateway readiness: who would be cut off, before anybody is."""

from typing import Annotated

import typer

from cli.client import Json, connect, segment
from cli.errors import CliError
from cli.options import AsJson, CaFile, TokenFile, Url, moment
from cli.output import details, show, show_json, table, warn, whole
from cli.strangers import as_table

PATH = "/v1/gateways"
# Of a list, people are shown so many.
_SHOWN = 10

Name = Annotated[str, typer.Argument(help="The gateway's name.", metavar="NAME")]
Days = Annotated[
    int,
    typer.Option(help="Strangers seen in the last days are active.", min=1, max=30, metavar="N"),
]
MinMinutes = Annotated[
    int,
    typer.Option(
        help="And only if they were seen in so many minutes: 1 is everybody.", min=1, metavar="N"
    ),
]


def readiness(
    name: Name,
    at: Annotated[
        str | None, typer.Option(help="As if it enforced from then on; else now.", metavar="TIME")
    ] = None,
    days: Days = 7,
    min_minutes: MinMinutes = 1,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show whether a gateway may go over from monitor to enforce: which peers
    were seen, which strangers would be cut off, how its routers stand.

    Exit code 1 if it is not ready.

    Examples:
      peergate gateway readiness hub
      peergate gateway readiness hub --at 2026-12-01T16:00:00Z --days 14
    """
    moment(at, "--at")
    with connect(url, token_file, ca_file) as registry:
        query = {"at": at, "days": days, "min_minutes": min_minutes}
        found = registry.get(f"{PATH}/{segment(name)}/readiness", **query).body
    if as_json:
        show_json(found)
        if not found["ready"]:
            raise typer.Exit(1)
        return
    show_report(found)
    if not found["ready"]:
        reasons = tuple(each["detail"] for each in found["against"])
        raise CliError(f"{name} is not ready to go over", reasons)


def show_report(found: Json) -> None:
    """For people, without what speaks against it."""
    peers, strangers = found["peers"], found["strangers"]
    lately = f"in the last {found['days']} days"
    least = f", in {found['min_minutes']} minutes or more" if found["min_minutes"] > 1 else ""
    fields = {
        "gateway": found["gateway"],
        "mode": f"{found['mode']} now, {found['then']} from {whole(found['at'])} on",
        "peers": [
            f"{peers['active']:,} active: {peers['seen']:,} seen, of them "
            f"{peers['seen_lately']:,} {lately}; {peers['active'] - peers['seen']:,} never seen",
            f"{peers['pending']:,} pending, {peers['later']:,} not yet valid, "
            f"{peers['ended']:,} ended",
        ],
        "strangers": f"{strangers['sources']:,} seen {lately}{least}, neither registered nor "
        "signed off",
    }
    show(details(fields))
    for title, name in (
        ("never seen", "never_seen"),
        ("pending", "waiting"),
        (f"ended, but seen {lately}", "ended_lately"),
    ):
        _show_peers(title, peers[name])
    if strangers["first"]:
        show(as_table(strangers["first"][:_SHOWN]))
        _tell_of_more(strangers["first"])
    columns = ("router", "stage", "#revision", "#lag", "received", "attached", "would drop")
    show(table(columns, map(_router, found["routers"])))
    for warning in found["warnings"]:
        warn(warning)
    for router in found["routers"]:
        for warning in router["warnings"]:
            warn(f"{router['name']}: {warning}")


def _show_peers(title: str, peers: list[Json]) -> None:
    if not peers:
        return
    rows = [
        (str(each["id"]), each["name"], each["owner"], each["contact"], each["last_seen"])
        for each in peers[:_SHOWN]
    ]
    show(table(("#id", "peer", "owner", "contact", "last seen"), rows, title=title))
    _tell_of_more(peers)


def _tell_of_more(items: list[Json]) -> None:
    if len(items) > _SHOWN:
        many = "100 or more" if len(items) == 100 else str(len(items))
        show(details({"": f"these are the first {_SHOWN} of {many}: --json shows 100"}))


def _router(found: Json) -> tuple[object, ...]:
    revision = found["revision"]
    return (
        found["name"],
        found["stage"],
        None if revision is None else str(revision),
        found["lag"],
        found["received"],
        found["attached"],
        [f"{verdict} {count:,}" for verdict, count in found["would_drop"].items() if count],
    )
