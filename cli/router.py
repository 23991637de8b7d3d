"""peergate agent, detach and router strangers: the router's own part, where it runs."""

import os
from dataclasses import asdict
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.client import Json
from cli.errors import UsageError
from cli.logs import AsLogged, log_to_stderr
from cli.options import AgentConfig, AsJson
from cli.output import complain, note, show, show_json, table, warn
from cli.systemd import Systemd

if TYPE_CHECKING:
    from control.settings import Settings


def agent(
    config: AgentConfig = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="Follow this policy file, whatever the settings say.", metavar="FILE"),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check settings and policy, and run nothing.")
    ] = False,
    accept_registry: Annotated[
        str | None,
        typer.Option(help="Follow the registry of this id from now on.", metavar="ID"),
    ] = None,
    registry_key: Annotated[
        str | None,
        typer.Option(
            help="With --accept-registry: its key. Else that of the next contact is taken.",
            metavar="KEY",
        ),
    ] = None,
    accept_removal: Annotated[
        int | None,
        typer.Option(help="Let the removal through that is held.", metavar="REVISION", min=1),
    ] = None,
    log_format: AsLogged = "text",
    as_json: Annotated[
        bool, typer.Option("--json", help="With --check and --accept-...: print JSON.")
    ] = False,
) -> None:
    """Run the agent: load the program, fill its maps, attach it, and keep all that true.

    Ending it leaves the program in force; see detach. Settings come from one TOML file, then
    from PEERGATE_AGENT_... in the environment. Needs root.

    Examples:
      peergate agent --check
      peergate agent --config /etc/peergate/agent.toml
      peergate agent --policy /etc/peergate/policy.yaml
      peergate agent --accept-removal 42
    """
    from control import state, trust
    from control.settings import load_settings
    from control.word import is_key

    settings = load_settings(config, os.environ)
    policy = policy or settings.policy_file
    if accept_registry is not None and accept_removal is not None:
        raise UsageError("--accept-registry and --accept-removal: one at a time")
    if registry_key is not None and (accept_registry is None or not is_key(registry_key)):
        raise UsageError(
            "--registry-key goes with --accept-registry, and is what `peergate api key show` prints"
        )
    if accept_registry is not None:
        state.accept_registry(settings.state_dir, accept_registry)
        trust.accept(settings.state_dir, accept_registry, registry_key)
        _done({"accepted_registry": accept_registry}, as_json)
    elif accept_removal is not None:
        state.accept_removal(settings.state_dir, accept_removal)
        _done({"accepted_removal": accept_removal}, as_json)
    elif check:
        _check(settings, policy, as_json)
    else:
        from control.agent import run_agent

        log_to_stderr(log_format)
        raise typer.Exit(run_agent(settings, policy, Systemd.of(os.environ).tell))


def detach(config: AgentConfig = None, as_json: AsJson = False) -> None:
    """Take the program off this router: every packet passes from then on.

    Stop the agent first: it would attach the program again. Needs root.

    Examples:
      peergate detach
      peergate detach --config /etc/peergate/agent.toml --json
    """
    from control import detach as off
    from control.settings import load_settings

    done = off.detach(load_settings(config, os.environ))
    if as_json:
        show_json({"done": done})
    for line in done if not as_json else ():
        note(line)


def strangers(
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, metavar="N")] = 50,
    config: AgentConfig = None,
    as_json: AsJson = False,
) -> None:
    """Show which strangers knocked here since the agent began, as it wrote it down last.

    It does so once a minute. The registry keeps what all routers saw: see stranger list. Those
    seen in the most minutes come first. Packets are an estimate, beside its standard error.

    Examples:
      peergate router strangers
      peergate router strangers --limit 10 --json
    """
    from control.settings import load_settings
    from control.stranger_report import load

    said = load(load_settings(config, os.environ).state_dir)
    if said is None:
        said = {"since": None, "until": None, "gateways": {}, "strangers": []}
    found, said["strangers"] = said["strangers"], said["strangers"][:limit]
    if as_json:
        show_json(said)
    elif not found:
        note("no stranger knocked here since an agent began to look")
    else:
        columns = ("gateway", "source", "service", "#minutes", "#packets", "#error", "last seen")
        show(table((*columns, "dropped"), map(_stranger, said["strangers"])))
        note(f"{len(said['strangers'])} of {len(found)}, from {said['since']} to {said['until']}")


def _stranger(said: Json) -> tuple[object, ...]:
    packets, samples = said["packets"], said["samples"]
    error = round(sqrt(packets * max(packets - samples, 0) / samples))
    names = ("gateway", "source", "service", "minutes", "packets")
    return *(said[name] for name in names), error, said["last_seen"], said["dropped"]


def _check(settings: "Settings", policy: Path | None, as_json: bool) -> None:
    """All that was found at once; exit code 1 if the agent could not start."""
    from control.check import check

    findings = check(settings, policy)
    ok = all(found.level != "error" for found in findings)
    if as_json:
        named = {name: str(value) for name, value in asdict(settings).items() if value is not None}
        show_json({"ok": ok, "settings": named, "findings": [asdict(each) for each in findings]})
    else:
        say = {"ok": note, "warning": warn, "error": complain}
        for found in findings:
            say[found.level](found.message)
        (note if ok else complain)("the agent can start" if ok else "the agent cannot start")
    if not ok:
        raise typer.Exit(1)


def _done(what: dict[str, object], as_json: bool) -> None:
    if as_json:
        show_json(what)
    else:
        for name, value in what.items():
            note(f"{name.replace('_', ' ')}: {value}")
