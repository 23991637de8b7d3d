"""peergate peer: who may reach a gateway, from where, until when."""

from itertools import islice
from typing import Annotated, Any, Literal

import typer

from cli import export, impact, imports, owners, proposals
from cli.client import Json, connect
from cli.errors import CliError
from cli.options import AsJson, CaFile, NamePrefix, TokenFile, Urgent, Url
from cli.output import details, show, show_json, table
from cli.peer import PATH, Reason, Which, act, done, find
from cli.sheet import AsCsv, one_form, show_csv

_CSV = (
    *("id", "gateway", "name", "state", "sources", "owner", "contact", "purpose"),
    *("valid_from", "valid_until", "created", "created_by", "changed"),
)


def group() -> typer.Typer:
    made = typer.Typer(no_args_is_help=True, help="Peers: who may reach a gateway.")
    made.command("add")(add)
    made.command("list")(list_all)
    made.command("expiring")(expiring)
    made.command("show")(show_one)
    made.command("approve")(approve)
    made.command("reject")(reject)
    made.command("revoke")(revoke)
    made.command("renew")(renew)
    made.command("export")(export.peers)
    made.command("import")(imports.peers)
    proposals.add_to(made)
    owners.add_to(made)
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
    accept_terms: Annotated[
        str | None,
        typer.Option(
            help="The version of the operator's terms of use that you keep to: "
            "`peergate rules show`.",
            metavar="VERSION",
        ),
    ] = None,
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
    if accept_terms is not None:
        body["terms"] = accept_terms
    with connect(url, token_file, ca_file) as registry:
        peer = registry.create(PATH, body).body
        if approve:
            try:
                peer = registry.act(f"{PATH}/{peer['id']}", "approve").body
            except CliError as error:
                registered = f"peer {peer['id']} is registered and pending, but not approved"
                raise CliError(f"{registered}: {error.message}", error.details) from error
    done(peer, "registered", as_json)


def list_all(
    gateway: Annotated[
        str | None, typer.Option(help="Only those at this gateway.", metavar="NAME")
    ] = None,
    state: Annotated[
        Literal["pending", "approved", "rejected", "revoked", "active", "expired"] | None,
        typer.Option(help="Only those in this state."),
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Only theirs.", metavar="TEXT")] = None,
    contact: Annotated[str | None, typer.Option(help="Only theirs.", metavar="MAIL")] = None,
    name_prefix: NamePrefix = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="Only those with a source that holds this address or prefix, or is in it.",
            metavar="PREFIX",
        ),
    ] = None,
    valid_until_before: Annotated[
        str | None, typer.Option(help="Only those that end before.", metavar="TIME")
    ] = None,
    valid_until_after: Annotated[
        str | None, typer.Option(help="Only those that end then or later.", metavar="TIME")
    ] = None,
    created_since: Annotated[
        str | None, typer.Option(help="Only those asked for since.", metavar="TIME")
    ] = None,
    changed_since: Annotated[
        str | None, typer.Option(help="Only those changed since.", metavar="TIME")
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            help="By id, name, valid_until, created or changed; -name the other way round.",
            metavar="FIELD",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="At most so many; else all.", min=1, metavar="N")
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """List peers.

    Examples:
      peergate peer list
      peergate peer list --gateway hub --state pending
      peergate peer list --source 203.0.113.7
      peergate peer list --sort=-changed --limit 20 --json
      peergate peer list --state active --csv > peers.csv
    """
    one_form(as_json=as_json, as_csv=as_csv)
    wanted = {
        "gateway": gateway,
        "state": state,
        "owner": owner,
        "contact": contact,
        "name_prefix": name_prefix,
        "source": source,
        "valid_until_before": valid_until_before,
        "valid_until_after": valid_until_after,
        "created_since": created_since,
        "changed_since": changed_since,
        "sort": sort,
    }
    with connect(url, token_file, ca_file) as registry:
        found = islice(registry.pages(PATH, **wanted), limit)
        if as_csv:
            show_csv(found, _CSV)
            return
        peers = list(found)
    if as_json:
        show_json(peers)
        return
    columns = ("#id", "gateway", "name", "state", "sources", "owner", "from", "until")
    show(table(columns, map(_row, peers)))


def expiring(
    within: Annotated[
        str, typer.Option(help="Days (14d), hours (36h) or minutes (90m).", metavar="TIME")
    ] = "14d",
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """List active peers that end soon, the first to end first.

    Examples:
      peergate peer expiring
      peergate peer expiring --within 36h --json
    """
    with connect(url, token_file, ca_file) as registry:
        peers = list(registry.pages(f"{PATH}/expiring", within=within))
    if as_json:
        show_json(peers)
        return
    names = ("valid_until", "gateway", "name", "owner", "contact")
    rows = [(str(each["id"]), *(each[name] for name in names)) for each in peers]
    show(table(("#id", "until", "gateway", "name", "owner", "contact"), rows))


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
        proposal = proposals.lines(found["proposal"])
        bounds = owners.lines(found["bounds"])
        said = {**found, "id": str(found["id"]), "proposal": proposal, "bounds": bounds}
        show(details(said))


def approve(
    peer: Which,
    urgent: Urgent = False,
    dry_run: impact.DryRun = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Approve a pending peer: routers let it in as soon as they hear of it.

    Examples:
      peergate peer approve branch-7
      peergate peer approve branch-7 --urgent
      peergate peer approve branch-7 --dry-run
    """
    with connect(url, token_file, ca_file) as registry:
        if dry_run:
            impact.foresee(registry, peer, "approve", None, as_json)
            return
        done(act(registry, peer, "approve", urgent=urgent), "approved", as_json)


def reject(
    peer: Which,
    reason: Reason,
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
        done(act(registry, peer, "reject", {"reason": reason}), "rejected", as_json)


def revoke(
    peer: Which,
    reason: Reason,
    urgent: Urgent = False,
    dry_run: impact.DryRun = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Revoke an approved peer: routers cut it off as soon as they hear of it.

    Examples:
      peergate peer revoke branch-7 --reason "Branch closed"
      peergate peer revoke branch-7 --reason "Keys stolen" --urgent
      peergate peer revoke branch-7 --reason "Branch closed" --dry-run
    """
    with connect(url, token_file, ca_file) as registry:
        if dry_run:
            impact.foresee(registry, peer, "revoke", {"reason": reason}, as_json)
            return
        revoked = act(registry, peer, "revoke", {"reason": reason}, urgent=urgent)
    done(revoked, "revoked", as_json)


def renew(
    peer: Which,
    until: Annotated[str, typer.Option(help="Its new end, or none for no end.", metavar="TIME")],
    dry_run: impact.DryRun = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Give an approved peer a new end, also one that has expired. Needs the role approver;
    who may only ask for it uses `peergate peer propose`.

    Examples:
      peergate peer renew branch-7 --until 2028-01-31T00:00:00Z
      peergate peer renew branch-7 --until none
      peergate peer renew branch-7 --until 2028-01-31T00:00:00Z --dry-run
    """
    body: Json = {"valid_until": None if until == "none" else until}
    with connect(url, token_file, ca_file) as registry:
        if dry_run:
            impact.foresee(registry, peer, "renew", body, as_json)
            return
        renewed = act(registry, peer, "renew", body)
    end = renewed.get("valid_until")
    done(renewed, f"renewed until {end}" if end else "renewed without an end", as_json)


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
