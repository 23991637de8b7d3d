"""peergate doctor: what stands in the way on this router, and what to do about it."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cli.options import AgentConfig, AsJson
from cli.output import harmless, show, show_json

if TYPE_CHECKING:
    from control.doctor.finding import Finding
    from control.settings import Settings

_STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "bold red"}
_WIDTH = max(map(len, _STYLES))


def doctor(
    config: AgentConfig = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="The policy file, where the agent follows one.", metavar="FILE"),
    ] = None,
    interface: Annotated[
        list[str] | None,
        typer.Option(help="Look at this interface too; may be repeated.", metavar="NAME"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look for what stands in the way on this router; change nothing.

    Kernel, BPF, drivers and their XDP, MTU, queues, offloads, memory, other
    ways in, tunnels that end here, clock, agent, registry: each with what to
    do. Without root it says less; before the first set-up it needs no settings.
    Exit code 1 if there are errors.

    Examples:
      peergate doctor
      peergate doctor --interface eth0
      peergate doctor --config /etc/peergate/agent.toml \\
          --policy /etc/peergate/policy.yaml --json
    """
    from control.doctor.examine import examine
    from control.doctor.finding import Finding
    from control.errors import SettingsError

    findings = []
    settings = None
    try:
        settings = _settings(config)
    except SettingsError as error:
        # That they are kept from whoever asks is no defect of the router.
        kept = "Permission denied" in error.message
        findings.append(Finding("note" if kept else "error", "settings", error.message))
    else:
        if settings is None:
            findings.append(_no_settings(bool(interface)))
    findings += examine(settings, policy, tuple(interface or ()))
    ok = all(found.level != "error" for found in findings)
    if as_json:
        show_json({"ok": ok, "findings": [asdict(found) for found in findings]})
    else:
        for found in findings:
            show(_lines(found))
        show(_summary(findings))
    if not ok:
        raise typer.Exit(1)


def _settings(config: Path | None) -> "Settings | None":
    """None on a machine that has none yet."""
    from control.settings import DEFAULT_FILE, PREFIX, load_settings

    told = config is not None or any(name.startswith(PREFIX) for name in os.environ)
    try:
        told = told or DEFAULT_FILE.exists()
    except PermissionError:
        told = True
    return load_settings(config, os.environ) if told else None


def _no_settings(named: bool) -> "Finding":
    from control.doctor.finding import Finding
    from control.settings import DEFAULT_FILE

    return Finding(
        "note",
        "settings",
        f"there is no {DEFAULT_FILE} yet: this is about the machine alone",
        "write it; docs/operations.md says what goes into it"
        if named
        else "name the interfaces to look at: peergate doctor --interface NAME",
    )


def _lines(found: "Finding") -> Text:
    """Level, subject, what is so; below it what to do."""
    line = Text.assemble(
        (f"{found.level:<{_WIDTH}}", _STYLES[found.level]),
        f"  {harmless(found.subject)}: {harmless(found.found)}",
    )
    if found.mend:
        line.append(f"\n{'':<{_WIDTH}}    -> {harmless(found.mend)}")
    return line


def _summary(findings: "list[Finding]") -> Text:
    counts = {level: sum(found.level == level for found in findings) for level in _STYLES}
    said = [
        f"{count} {level}{'' if count == 1 else 's'}"
        for level, count in reversed(counts.items())
        if count and level != "ok"
    ]
    return Text(f"{', '.join(said) or 'nothing to complain about'}; {counts['ok']} things are well")
