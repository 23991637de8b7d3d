"""peergate peer bounds, token, here, move: an owner moves the sources of its own peer."""

from typing import Annotated, Literal

import typer

from cli.client import Json, connect
from cli.errors import UsageError
from cli.impact import DryRun, show_peer
from cli.options import AsJson, CaFile, TokenFile, Url
from cli.output import harmless, note, show_json
from cli.peer import PATH, Which, act, done, find

Own = Annotated[
    int, typer.Argument(help="The peer's id; by name it is not found.", metavar="ID", min=1)
]


def add_to(group: typer.Typer) -> None:
    for command in (bounds, token, here, move):
        group.command(command.__name__)(command)


def bounds(
    peer: Which,
    sources: Annotated[int | None, typer.Option(help="So many at most; else 2.", min=1)] = None,
    ipv4_length: Annotated[
        int | None, typer.Option(help="An IPv4 source is no wider than that; else 32.")
    ] = None,
    ipv6_length: Annotated[
        int | None, typer.Option(help="An IPv6 source is no wider than that; else 64.")
    ] = None,
    here_ipv6_length: Annotated[
        int | None,
        typer.Option(help="How much of an IPv6 address `here` registers; else 64."),
    ] = None,
    interval: Annotated[
        int | None, typer.Option(help="Seconds from a move to the next, at least; else 60.")
    ] = None,
    within: Annotated[
        list[str] | None,
        typer.Option(help="Only inside this prefix; repeatable; else anywhere.", metavar="PREFIX"),
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="The owner moves nothing any more.")] = False,
    propose: Annotated[
        bool, typer.Option("--propose", help="Leave it to another approver: `peer grant`.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Let a peer's owner move its sources, within bounds: they are set as a whole.

    Examples:
      peergate peer bounds branch-7
      peergate peer bounds branch-7 --sources 3 --ipv6-length 56 \\
          --interval 300 --within 203.0.113.0/24 --within 2001:db8::/32
      peergate peer bounds branch-7 --none
    """
    given = {
        "sources": sources,
        "ipv4_length": ipv4_length,
        "ipv6_length": ipv6_length,
        "here_ipv6_length": here_ipv6_length,
        "interval_seconds": interval,
        "within": within or None,
    }
    wanted = {name: value for name, value in given.items() if value is not None}
    if none and wanted:
        raise UsageError("--none takes the bounds away: give no others with it")
    body: Json = {"bounds": None if none else wanted}
    with connect(url, token_file, ca_file) as registry:
        if propose:
            done(act(registry, peer, "propose", body), "is proposed to change", as_json)
            return
        changed = registry.change(f"{PATH}/{find(registry, peer)['id']}", body).body
    done(changed, "has no bounds any more" if none else "has bounds", as_json)


def token(
    peer: Which,
    expires: Annotated[
        str | None, typer.Option(help="Not good from then on.", metavar="TIME")
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="End it, and make none.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Make the token with which a peer's owner moves its sources, and nothing else.

    It alone goes to stdout, this once. The one before it ends; it ends with the peer.

    Examples:
      peergate peer token branch-7 > branch-7.token
      peergate peer token branch-7 --end
    """
    with connect(url, token_file, ca_file) as registry:
        path = f"{PATH}/{find(registry, peer)['id']}/token"
        if end:
            registry.delete(path)
            note(f"peer {peer} has no token any more")
            return
        made = registry.create(path, {} if expires is None else {"expires": expires}).body
    if as_json:
        show_json(made)
    else:
        typer.echo(harmless(made["token"]))


def here(
    peer: Own,
    family: Annotated[
        Literal["4", "6"] | None,
        typer.Option(help="Over IPv4 or IPv6 alone; a site with both calls once for each."),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Register the address that this call comes from, in place of the one before.

    For a site whose address changes, with its token from `peergate peer token`. Where the
    address is registered already nothing changes, so call often.

    Examples:
      peergate peer here 7 --token-file site.token
      peergate peer here 7 --family 4 && peergate peer here 7 --family 6
      peergate peer here 7 --dry-run
      # cron, in /etc/cron.d/peergate:
      */5 * * * * root peergate peer here 7 --url URL --token-file FILE
      # systemd, peergate-here.timer with OnCalendar=*:0/5, its service with:
      ExecStart=/usr/bin/peergate peer here 7 --url URL --token-file FILE
    """
    path = f"{PATH}/{peer}/here"
    with connect(url, token_file, ca_file, family) as registry:
        if dry_run:
            show_peer(registry.preview("POST", path), as_json)
            return
        _from(registry.create(path).body, as_json)


def move(
    peer: Own,
    source: Annotated[
        list[str], typer.Option(help="All its sources anew; repeatable.", metavar="PREFIX")
    ],
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Give one's own peer other sources, with its token, within its bounds.

    Examples:
      peergate peer move 7 --source 203.0.113.9 --token-file site.token
      peergate peer move 7 --source 203.0.113.9 --dry-run
    """
    path = f"{PATH}/{peer}"
    body: Json = {"sources": source}
    with connect(url, token_file, ca_file) as registry:
        if dry_run:
            show_peer(registry.preview("PUT", f"{path}/sources", body), as_json)
            return
        etag = registry.get(path).etag
        _from(registry.replace(f"{path}/sources", body, etag).body, as_json)


def lines(bounds: Json | None) -> list[str] | None:
    """Bounds as `show` has them."""
    if bounds is None:
        return None
    return [
        f"{bounds['sources']} sources, IPv4 /{bounds['ipv4_length']} or longer, "
        f"IPv6 /{bounds['ipv6_length']} or longer (here: /{bounds['here_ipv6_length']})",
        f"every {bounds['interval_seconds']} s",
        *(f"within {prefix}" for prefix in bounds["within"]),
    ]


def _from(peer: Json, as_json: bool) -> None:
    if as_json:
        show_json(peer)
    else:
        note(
            f"peer {peer['id']} ({peer['name']} at {peer['gateway']}): {', '.join(peer['sources'])}"
        )
