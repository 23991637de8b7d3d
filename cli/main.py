"""The command `peergate`: its groups, and what becomes of an error. The rest is in the modules."""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer
from typer.exceptions import TyperException

from cli import (
    apply,
    audit,
    capture,
    doctor,
    events,
    explain,
    export,
    gateways,
    peers,
    registry,
    replay,
    revisions,
    rollout,
    router,
    routers,
    rules,
    status,
    strangers,
    tokens,
    top,
    webhooks,
)
from cli.errors import CliError
from cli.output import complain

_INTERRUPTED = 130


def application() -> typer.Typer:
    """All commands; each imports what it needs when it runs."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode="rich",
    )
    app.callback()(_start)
    app.add_typer(gateways.group(), name="gateway")
    app.add_typer(peers.group(), name="peer")
    app.add_typer(strangers.group(), name="stranger")
    app.add_typer(tokens.group(), name="token")
    app.add_typer(audit.group(), name="audit")
    app.add_typer(rules.group(), name="rules")
    app.add_typer(routers.group(), name="router")
    app.add_typer(revisions.group(), name="revision")
    app.command("rollback")(revisions.rollback)
    app.add_typer(rollout.group(), name="rollout")
    app.add_typer(registry.group(), name="api")
    app.add_typer(webhooks.group(), name="webhook")
    app.command("apply")(apply.apply)
    app.command("export")(export.policy)
    app.command("status")(status.status)
    app.command("top")(top.top)
    app.command("capture")(capture.capture)
    app.command("events")(events.events)
    app.command("explain")(explain.explain)
    app.command("replay")(replay.replay)
    app.command("agent")(router.agent)
    app.command("detach")(router.detach)
    app.command("doctor")(doctor.doctor)
    return app


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; the exit code: 0 done, 1 failed, 2 wrong usage."""
    try:
        code = application()(list(arguments), prog_name="peergate", standalone_mode=False)
        sys.stdout.flush()
    except TyperException as error:
        # Without a message it was help that was wanted, and printed.
        if message := error.format_message().replace("Value error, ", "").strip():
            complain(f"{message.rstrip('.')}. See {_help_of(error)}")
        return error.exit_code
    except CliError as error:
        complain(error.message, error.details)
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough. What is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # the last line of defence: people get one line, not a traceback
        if os.environ.get("PEERGATE_DEBUG") == "1":
            raise
        complain(*_told(error))
        return 1
    return code if isinstance(code, int) else 0


def _told(error: Exception) -> tuple[str, tuple[str, ...]]:
    from api.errors import ApiError
    from control.errors import ControlError
    from policy.errors import PolicyError

    if isinstance(error, ControlError):
        return error.message, ()
    if isinstance(error, PolicyError):
        return "the policy is refused", tuple(map(str, error.problems))
    if isinstance(error, PermissionError):
        return f"{error.filename or 'this'}: no permission: run as root", ()
    if isinstance(error, ApiError):
        return str(error), tuple(map(str, error.problems))
    return f"{type(error).__name__}: {error} (PEERGATE_DEBUG=1 shows where)", ()


def _help_of(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"`{context.command_path if context else 'peergate'} --help`"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"peergate {version('peergate')}")
        raise typer.Exit


def _start(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Only registered peers reach your tunnel gateways.

    Exit codes: 0 done, 1 failed, 2 wrong usage.
    """
