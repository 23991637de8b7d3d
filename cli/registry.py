"""peergate api: the registry service itself, where it runs."""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cli.logs import AsLogged, log_to_stderr
from cli.options import AsJson
from cli.output import console, harmless, show_json, warn
from cli.systemd import Systemd

if TYPE_CHECKING:
    from api.bootstrap import NewKey

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
    made.command("backup")(backup)
    made.add_typer(_keys(), name="key")
    return made


def _keys() -> typer.Typer:
    made = typer.Typer(
        no_args_is_help=True,
        help="The registry's key: it signs what routers follow, and stands in a file of its own.",
    )
    made.command("show")(show_key)
    made.command("rotate")(rotate_key)
    made.command("make")(make_key)
    return made


KeyFile = Annotated[
    Path | None,
    typer.Option(
        help="The registry's key; else PEERGATE_KEY_FILE, else beside the SQLite database.",
        metavar="FILE",
    ),
]


def init(database: Database = None, key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """Make the registry's database, its key and first admin token, or bring it up to date.

    The token alone goes to stdout, this once: the registry keeps only its hash. The key signs what
    routers follow: keep a copy of its file, apart from the database's backups.

    Examples:
      peergate api init > admin.token
      peergate api init --database ./registry.db --json
    """
    from api import bootstrap
    from api.settings import Settings

    settings = Settings.from_environment(database=database, key_file=key_file)
    done = bootstrap.init(settings)
    if as_json:
        show_json(asdict(done))
        return
    what = "brought up to date" if done.token is None else "made"
    _say(f"{done.database}: registry {done.registry} {what}")
    if done.key is not None:
        _say(f"{settings.key_file}: its key, {done.key} in public")
    if done.token is not None:
        _say("its first admin token, shown this once:")
        sys.stdout.write(harmless(done.token) + "\n")


def serve(
    database: Database = None,
    key_file: KeyFile = None,
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
    log_format: AsLogged = "text",
) -> None:
    """Run the registry service until it is told to stop.

    Examples:
      peergate api serve
      peergate api serve --listen 192.0.2.10:8470 \\
          --tls-cert cert.pem --tls-key key.pem
    """
    from api import serve as service
    from api.settings import Settings

    log_to_stderr(log_format)
    service.serve(
        Settings.from_environment(
            database=database,
            key_file=key_file,
            listen=listen,
            tls_cert=tls_cert,
            tls_key=tls_key,
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


def backup(
    file: Annotated[Path, typer.Argument(help="Where to, which is not there yet.", metavar="FILE")],
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Copy the SQLite database while the service goes on: one state, in one file.

    The registry's key is not in it: keep a copy of that elsewhere. For PostgreSQL there is pg_dump.

    Examples:
      peergate api backup /srv/backup/registry.db
      peergate api backup "registry-$(date +%F).db" --database ./registry.db
    """
    from api import backup as backups
    from api.settings import Settings

    made = backups.make(Settings.from_environment(database=database), file)
    if as_json:
        show_json(asdict(made))
    else:
        _say(f"{made.file}: registry {made.registry} at revision {made.revision}")


def show_key(database: Database = None, key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """Show the public key, which an agent may be told in its setting `registry_key`.

    Examples:
      peergate api key show
      peergate api key show --json
    """
    from api import signing

    file = _key_file(database, key_file)
    _tell_key({"file": str(file), "key": signing.public(file)}, as_json)


def rotate_key(
    database: Database = None, key_file: KeyFile = None, as_json: AsJson = False
) -> None:
    """Put a new key into the old one's place. The old one endorses it, so that routers take it.

    The audit trail has both public keys, where the database can be reached from here. Processes
    on this machine sign with the new one within a second. Where others have a copy of the file,
    give them the new one within seven days: until then routers take both keys' words.

    Examples:
      peergate api key rotate
    """
    from api import bootstrap
    from api.settings import Settings

    settings = Settings.from_environment(database=database, key_file=key_file)
    _tell_new_key(settings.key_file, bootstrap.rotate_key(settings), as_json)


def make_key(database: Database = None, key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """Make another key where the registry's is lost. No router takes it until it is told to.

    Examples:
      peergate api key make
    """
    from api import bootstrap
    from api.settings import Settings

    settings = Settings.from_environment(database=database, key_file=key_file)
    _tell_new_key(settings.key_file, bootstrap.make_key(settings), as_json)


def _tell_new_key(file: Path, made: "NewKey", as_json: bool) -> None:
    told = {"file": str(file), "key": made.key}
    _tell_key(told if made.before is None else told | {"before": made.before}, as_json)
    if made.unrecorded is not None:
        warn(f"the audit trail does not know of it: {made.unrecorded}")


def _key_file(database: str | None, key_file: Path | None) -> Path:
    from api.settings import Settings

    return Settings.from_environment(database=database, key_file=key_file).key_file


def _tell_key(what: dict[str, str], as_json: bool) -> None:
    if as_json:
        show_json(what)
    else:
        sys.stdout.write(harmless(what["key"]) + "\n")


def _say(message: str) -> None:
    """On stderr: stdout is the token's."""
    console(stderr=True).print(Text(harmless(message)), soft_wrap=True)
