"""peergate gateway: what the operator runs, and whether strangers are dropped there."""

from typing import Annotated, Any, Literal

import typer

from cli import cutover, readiness
from cli.client import Json, connect, segment
from cli.errors import CliError, UsageError
from cli.impact import DryRun, show_gateway
from cli.options import AsJson, CaFile, NamePrefix, TokenFile, Url, Yes, labels, spelled
from cli.output import ask, details, interactive, note, show, show_json, table, warn

PATH = "/v1/gateways"

Name = Annotated[str, typer.Argument(help="The gateway's name.", metavar="NAME")]
Mode = Literal["monitor", "enforce"]
_From = typer.Option(metavar="TIME", help="Enforce from then on; until then monitor.")
_Until = typer.Option(metavar="TIME", help="Enforce until then; after it monitor.")
_Routers = typer.Option(
    "--router",
    metavar="KEY=VALUE",
    help="Only routers with this label carry it; repeatable, all must fit.",
)


def group() -> typer.Typer:
    made = typer.Typer(no_args_is_help=True, help="Gateways: what the operator runs.")
    for command in (add, show_one, set_fields, remove):
        made.command(_NAMES.get(command.__name__, command.__name__))(command)
    made.command("list")(list_all)
    made.command("readiness")(readiness.readiness)
    cutover.add_to(made)
    return made


_NAMES = {"show_one": "show", "set_fields": "set"}


def add(
    name: Name,
    address: Annotated[
        list[str], typer.Option(help="An address, or a block of at most 256; repeatable.")
    ],
    service: Annotated[
        list[str],
        typer.Option(help="wireguard, ipsec, udp/4433, tcp/1194, proto/97 ...; repeatable."),
    ],
    mode: Annotated[
        Mode, typer.Option(help="Count what would be dropped, or drop it.")
    ] = "monitor",
    enforce_from: Annotated[str | None, _From] = None,
    enforce_until: Annotated[str | None, _Until] = None,
    router: Annotated[list[str] | None, _Routers] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Declare a gateway.

    Examples:
      peergate gateway add hub --address 198.51.100.1 --service wireguard
      peergate gateway add hub --address 198.51.100.1 --address 2001:db8::1 \\
          --service ipsec --service udp/4433 \\
          --mode enforce --enforce-from 2026-12-01T00:00:00Z
      peergate gateway add fra --address 198.51.100.2 --service gre \\
          --router site=fra --dry-run
    """
    body: Json = {"name": name, "addresses": address, "services": service, "mode": mode}
    if enforce_from is not None:
        body["enforce_from"] = enforce_from
    if enforce_until is not None:
        body["enforce_until"] = enforce_until
    if router:
        body["routers"] = labels(router, "--router")
    with connect(url, token_file, ca_file) as registry:
        if dry_run:
            show_gateway(registry.preview("POST", PATH, body), name, as_json, "added")
            return
        made = registry.create(PATH, body).body
    _done(made, f"gateway {made['name']} added, mode {made['mode']}", as_json)


def list_all(
    name_prefix: NamePrefix = None,
    mode: Annotated[Mode | None, typer.Option(help="Only those in this mode.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """List all gateways.

    Examples:
      peergate gateway list
      peergate gateway list --mode monitor --json
    """
    with connect(url, token_file, ca_file) as registry:
        gateways = list(registry.pages(PATH, name_prefix=name_prefix, mode=mode))
    if as_json:
        show_json(gateways)
        return
    rows = [
        (
            each["name"],
            each["addresses"],
            each["services"],
            *_mode(each),
            cutover.short(each["cutover"]),
            spelled(each["routers"]),
        )
        for each in gateways
    ]
    columns = ("name", "addresses", "services", "mode", "from", "until", "cut-over", "routers")
    show(table(columns, rows))


def show_one(
    name: Name,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show one gateway.

    Examples:
      peergate gateway show hub
    """
    with connect(url, token_file, ca_file) as registry:
        path = f"{PATH}/{segment(name)}"
        gateway = registry.get(path).body
        latest = gateway["cutover"]
        if latest is not None and not as_json:
            latest = registry.get(f"{path}/cutover").body
    if as_json:
        show_json(gateway)
    else:
        routers, steps = spelled(gateway["routers"]), cutover.lines(latest)
        show(details({**gateway, "routers": routers, "cutover": steps}))


def set_fields(
    name: Name,
    address: Annotated[
        list[str] | None, typer.Option(help="All its addresses anew; repeatable.")
    ] = None,
    service: Annotated[
        list[str] | None, typer.Option(help="All its services anew; repeatable.")
    ] = None,
    mode: Annotated[Mode | None, typer.Option(help="Count only, or drop.")] = None,
    enforce_from: Annotated[str | None, _From] = None,
    enforce_until: Annotated[str | None, _Until] = None,
    router: Annotated[list[str] | None, _Routers] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Change a gateway; what is not named stays. The time `none` takes a bound away, and
    `--router none` gives it to all routers.

    Going to monitor takes the window away with it.

    Examples:
      peergate gateway set hub --mode enforce --dry-run
      peergate gateway set hub --mode enforce
      peergate gateway set hub --enforce-from 2026-12-01T00:00:00Z
      peergate gateway set hub --enforce-until none
      peergate gateway set hub --router site=fra --dry-run
    """
    body: Json = {}
    if address:
        body["addresses"] = address
    if service:
        body["services"] = service
    if mode is not None:
        body["mode"] = mode
    if mode == "monitor":
        body |= {"enforce_from": None, "enforce_until": None}
    if enforce_from is not None:
        body["enforce_from"] = _time_or_none(enforce_from)
    if enforce_until is not None:
        body["enforce_until"] = _time_or_none(enforce_until)
    if router:
        body["routers"] = {} if router == ["none"] else labels(router, "--router")
    if not body:
        raise UsageError("nothing to change: name at least one option, see --help")
    path = f"{PATH}/{segment(name)}"
    with connect(url, token_file, ca_file) as registry:
        if dry_run:
            show_gateway(registry.preview("PATCH", path, body), name, as_json)
            return
        changed = registry.change(path, body).body
    _done(changed, f"gateway {changed['name']} changed, mode {changed['mode']}", as_json)


def remove(
    name: Name,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Remove a gateway; its packets are nobody's concern from then on. Its peers go first.

    Examples:
      peergate gateway remove hub
      peergate gateway remove hub --yes
      peergate gateway remove hub --dry-run
    """
    path = f"{PATH}/{segment(name)}"
    if not dry_run and not yes and interactive() and not ask(f"Remove gateway {name}?"):
        raise CliError("nothing was removed")
    with connect(url, token_file, ca_file) as registry:
        if dry_run:
            show_gateway(registry.preview("DELETE", path), name, as_json)
            return
        registry.remove(path)
    if as_json:
        show_json({"removed": name})
    else:
        note(f"gateway {name} removed")


def _mode(gateway: Json) -> tuple[Any, Any, Any]:
    return gateway["mode"], gateway.get("enforce_from"), gateway.get("enforce_until")


def _time_or_none(text: str) -> str | None:
    return None if text == "none" else text


def _done(gateway: Json, message: str, as_json: bool) -> None:
    """Say what became of it, and what an operator should know of its services."""
    for warning in gateway.get("warnings") or ():
        warn(str(warning))
    if as_json:
        show_json(gateway)
    else:
        note(message)
