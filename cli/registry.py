"""peergate api: the registry service itself, where it runs."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from cli.logs import log_to_stderr
from cli.options import AsJson
from cli.output import console, harmless, show_json
from cli.systemd import Systemd

Database = Annotated[
    str | None,
    typer.Option(
        help="A SQLite file, or the URL of one or of a PostgreSQL database; "
        "else PEERGATE_DATABASE_URL, else /var/lib/peergate-api/registry.db.",
        metavar="DATABASE",
    ),
]


def group() -> typer.Typer:
    made = typer.Typer(no_args_is_help=True, help="The registry service, where it runs.")
    made.command("init")(init)
    made.command("serve")(serve)
    made.command("token")(token)
    made.command("lift")(lift)
    return made


def init(database: Database = None, as_json: AsJson = False) -> None:
    """Make the registry's database and its first admin token, or bring an older one up to date.

    The token alone goes to stdout, this once: the registry keeps only its hash.

    Examples:
      peergate api init > admin.token
      peergate api init --database ./registry.db --json
    """
    from api import bootstrap
    from api.settings import Settings

    done = bootstrap.init(Settings.from_environment(database=database))
    if as_json:
        show_json({"database": done.database, "registry": done.registry, "token": done.token})
        return
    what = "brought up to date" if done.token is None else "made"
    _say(f"{done.database}: registry {done.registry} {what}")
    if done.token is not None:
        _say("its first admin token, shown this once:")
        sys.stdout.write(harmless(done.token) + "\n")


def serve(
    database: Database = None,
    listen: Annotated[
        str | None,
        typer.Option(
            help="Where to listen; else PEERGATE_LISTEN, else 127.0.0.1:8470.",
            metavar="ADDRESS:PORT",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="A certificate, with its chain.", metavar="FILE")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key.", metavar="FILE")] = None,
) -> None:
    """Run the registry service until it is told to stop.

    Examples:
      peergate api serve
      peergate api serve --listen 192.0.2.10:8470 \\
          --tls-cert cert.pem --tls-key key.pem
    """
    from api import serve as service
    from api.settings import Settings

    log_to_stderr()
    service.serve(
        Settings.from_environment(
            database=database, listen=listen, tls_cert=tls_cert, tls_key=tls_key
        ),
        Systemd.of(os.environ).tell,
    )


def token(
    database: Database = None,
    name: Annotated[str, typer.Option(help="Whose token it is.", metavar="NAME")] = "admin",
    as_json: AsJson = False,
) -> None:
    """Make another admin token, where the last one is lost. Needs the database itself.

    Examples:
      peergate api token > admin.token
    """
    from api import bootstrap
    from api.settings import Settings

    text = bootstrap.admin_token(Settings.from_environment(database=database), name)
    if as_json:
        show_json({"name": name, "role": "admin", "token": text})
    else:
        sys.stdout.write(harmless(text) + "\n")


def lift(
    to_revision: Annotated[
        int, typer.Option(help="Go on above this one.", metavar="REVISION", min=1)
    ],
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """After a restore from a backup: go on above the highest revision that routers have.

    It does so by itself once a router reports; this is for when none can. Needs the database
    itself. See `peergate status` on the routers for their revisions.

    Examples:
      peergate api lift --to-revision 1042
    """
    from api import bootstrap
    from api.settings import Settings

    settings = Settings.from_environment(database=database)
    revision = bootstrap.lift(settings, to_revision)
    if as_json:
        show_json({"database": settings.database, "revision": revision})
    else:
        _say(f"{settings.database}: at revision {revision}; routers fetch a snapshot")


def _say(message: str) -> None:
    """On stderr: stdout is the token's."""
    console(stderr=True).print(Text(harmless(message)), soft_wrap=True)
