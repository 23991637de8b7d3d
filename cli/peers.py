"""peergate peer: who may reach a gateway, from where, until when."""

from typing import Annotated, Any, Literal

import typer

from cli import export
from cli.client import Json, Registry, connect, segment
from cli.errors import CliError
from cli.options import AsJson, CaFile, TokenFile, Url
from cli.output import details, note, show, show_json, table

PATH = "/v1/peers"

# An ended registration leaves its name to the next one.
_GONE = ("rejected", "revoked")

Which = Annotated[
    str, typer.Argument(help="The peer's id, its name, or GATEWAY/NAME.", metavar="PEER")
]
Reason = Annotated[
    str | None, typer.Option(help="Why; kept with the registration.", metavar="TEXT")
]


def group() -> typer.Typer:
    made = typer.Typer(no_args_is_help=True, help="Peers: who may reach a gateway.")
    made.command("add")(add)
    made.command("list")(list_all)
    made.command("show")(show_one)
    made.command("approve")(approve)
    made.command("reject")(reject)
    made.command("revoke")(revoke)
    made.command("renew")(renew)
    made.command("export")(export.peers)
    return made


def add(
    name: Annotated[str, typer.Argument(help="The peer's name.", metavar="NAME")],
    gateway: Annotated[str, typer.Option(help="The gateway that it talks to.", metavar="NAME")],
    source: Annotated[
        list[str],
        typer.Option(help="A prefix that its packets come from; repeatable.", metavar="PREFIX"),
    ],
    owner: Annotated[str, typer.Option(help="The team responsible.", metavar="TEXT")],
    contact: Annotated[str, typer.Option(help="Their mail address.", metavar="MAIL")],
    purpose: Annotated[str, typer.Option(help="What the tunnel is for.", metavar="TEXT")],
    valid_from: Annotated[str | None, typer.Option(help="Not before.", metavar="TIME")] = None,
    valid_until: Annotated[str | None, typer.Option(help="Not after.", metavar="TIME")] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Approve it at once.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Register a peer at a gateway; it is pending until somebody approves it.

    Examples:
      peergate peer add branch-7 --gateway hub \\
          --source 203.0.113.7 --source 2001:db8:7::/48 \\
          --owner "Branch networks" --contact netops@example.net \\
          --purpose "Site-to-site tunnel of branch 7" \\
          --valid-until 2027-01-31T00:00:00Z
      peergate peer add lab --gateway hub --source 192.0.2.0/28 --owner Lab \\
          --contact lab@example.net --purpose "Test bench" --approve
    """
    body: Json = {
        "name": name,
        "gateway": gateway,
        "sources": source,
        "owner": owner,
        "contact": contact,
        "purpose": purpose,
    }
    if valid_from is not None:
        body["valid_from"] = valid_from
    if valid_until is not None:
        body["valid_until"] = valid_until
    with connect(url, token_file, ca_file) as registry:
        peer = registry.create(PATH, body).body
        if approve:
            try:
                peer = registry.act(f"{PATH}/{peer['id']}", "approve").body
            except CliError as error:
                registered = f"peer {peer['id']} is registered and pending, but not approved"
                raise CliError(f"{registered}: {error.message}", error.details) from error
    _done(peer, "registered", as_json)


def list_all(
    gateway: Annotated[
        str | None, typer.Option(help="Only those at this gateway.", metavar="NAME")
    ] = None,
    state: Annotated[
        Literal["pending", "approved", "rejected", "revoked", "active", "expired"] | None,
        typer.Option(help="Only those in this state."),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """List peers.

    Examples:
      peergate peer list
      peergate peer list --gateway hub --state pending
      peergate peer list --json
    """
    with connect(url, token_file, ca_file) as registry:
        peers = list(registry.pages(PATH, gateway=gateway, state=state))
    if as_json:
        show_json(peers)
        return
    columns = ("#id", "gateway", "name", "state", "sources", "owner", "from", "until")
    show(table(columns, map(_row, peers)))


def show_one(
    peer: Which,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show one peer.

    Examples:
      peergate peer show 7
      peergate peer show branch-7
      peergate peer show hub/branch-7
    """
    with connect(url, token_file, ca_file) as registry:
        found = find(registry, peer)
    if as_json:
        show_json(found)
    else:
        show(details({**found, "id": str(found["id"])}))


def approve(
    peer: Which,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Approve a pending peer: routers let it in as soon as they hear of it.

    Examples:
      peergate peer approve branch-7
    """
    with connect(url, token_file, ca_file) as registry:
        _done(_act(registry, peer, "approve"), "approved", as_json)


def reject(
    peer: Which,
    reason: Reason = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Reject a pending peer.

    Examples:
      peergate peer reject branch-7 --reason "No contact at that address"
    """
    with connect(url, token_file, ca_file) as registry:
        _done(_act(registry, peer, "reject", {"reason": reason}), "rejected", as_json)


def revoke(
    peer: Which,
    reason: Reason = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Revoke an approved peer: routers cut it off as soon as they hear of it.

    Examples:
      peergate peer revoke branch-7 --reason "Branch closed"
    """
    with connect(url, token_file, ca_file) as registry:
        _done(_act(registry, peer, "revoke", {"reason": reason}), "revoked", as_json)


def renew(
    peer: Which,
    until: Annotated[str, typer.Option(help="Its new end, or none for no end.", metavar="TIME")],
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Give an approved peer a new end, also one that has expired.

    Examples:
      peergate peer renew branch-7 --until 2028-01-31T00:00:00Z
      peergate peer renew branch-7 --until none
    """
    body: Json = {"valid_until": None if until == "none" else until}
    with connect(url, token_file, ca_file) as registry:
        renewed = _act(registry, peer, "renew", body)
    end = renewed.get("valid_until")
    _done(renewed, f"renewed until {end}" if end else "renewed without an end", as_json)


def find(registry: Registry, which: str) -> Json:
    """The peer of that id or name. Of one name, those pending or approved come first."""
    if which.isascii() and which.isdigit():
        found: Json = registry.get(f"{PATH}/{segment(which)}").body
        return found
    gateway, slash, name = which.rpartition("/")
    pages = registry.pages(PATH, gateway=gateway if slash else None)
    named = [each for each in pages if each["name"] == name]
    living = [each for each in named if each["state"] not in _GONE]
    if len(living) > 1:
        options = ", ".join(f"{each['gateway']}/{each['name']}" for each in living)
        raise CliError(f"{which}: several peers have this name: say one of {options}")
    if not named:
        raise CliError(f"{which}: no peer has this name; see `peergate peer list`")
    return (living or named)[-1]


def _act(registry: Registry, which: str, action: str, body: Json | None = None) -> Json:
    peer = find(registry, which)
    changed: Json = registry.act(f"{PATH}/{peer['id']}", action, body).body
    return changed


def _row(peer: Json) -> tuple[Any, ...]:
    return (
        str(peer["id"]),
        peer["gateway"],
        peer["name"],
        peer["state"],
        peer["sources"],
        peer["owner"],
        peer.get("valid_from"),
        peer.get("valid_until"),
    )


def _done(peer: Json, what: str, as_json: bool) -> None:
    if as_json:
        show_json(peer)
    else:
        state = "" if peer["state"] == what else f", now {peer['state']}"
        note(f"peer {peer['id']} ({peer['name']} at {peer['gateway']}) {what}{state}")
