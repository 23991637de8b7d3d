"""peergate status: what is in force on this router, and what the registry says of all."""

import os
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from cli import routers
from cli.client import Json, Registry, connect
from cli.errors import CliError
from cli.options import AgentConfig, AsJson, CaFile, TokenFile, Url
from cli.output import details, harmless, show, show_json, table

if TYPE_CHECKING:
    from control.status import GatewayStatus, Status


def status(
    config: AgentConfig = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show what is in force: on this router, and in the registry that --url names.

    On a machine with an agent's settings it reads the program's maps, for which it needs root.

    Examples:
      peergate status
      peergate status --url https://registry.example.net --json
    """
    document: Json = {}
    router = _router(config)
    if router is not None:
        document["router"] = router
    if url is not None:
        with connect(url, token_file, ca_file) as registry:
            document["registry"] = _registry_json(registry)
    if not document:
        raise CliError(
            "nothing to show: this machine has no /etc/peergate/agent.toml (name another with "
            "--config), and no registry is named (--url or PEERGATE_URL)"
        )
    if as_json:
        show_json(document)
        return
    if router is not None:
        _show_router(router)
    if "registry" in document:
        _show_registry(document["registry"])


def _router(config: Path | None) -> Json | None:
    """This router's status; None on a machine that nobody says is a router."""
    from control.settings import DEFAULT_FILE, PREFIX, load_settings

    told = config is not None or any(name.startswith(PREFIX) for name in os.environ)
    if not told and not DEFAULT_FILE.exists():
        return None
    from control.status import status as look

    settings = load_settings(config, os.environ)
    found = look(settings)
    return _router_json(found, _made(settings.state_dir, found.revision))


def _made(state_dir: Path, revision: int | None) -> datetime | None:
    """When the allowlist in force was made, if the snapshot on disk is that one."""
    from control.errors import SnapshotError
    from control.snapshot import load_snapshot

    try:
        snapshot = load_snapshot(state_dir)
    except SnapshotError:
        return None
    return snapshot.time if snapshot is not None and snapshot.revision == revision else None


def _router_json(found: "Status", made: datetime | None) -> Json:
    from policy.window import rfc3339

    return {
        "name": found.router,
        "agent": found.agent,
        "filled": found.filled,
        "registry": found.registry,
        "revision": found.revision,
        "made": rfc3339(made),
        "age_seconds": None if made is None else round((found.now - made).total_seconds()),
        "held": found.held,
        "time": rfc3339(found.now),
        "entries": {"hosts": found.hosts, "prefixes": found.prefixes},
        "interfaces": [{**asdict(each), "attached": each.attached} for each in found.interfaces],
        "gateways": [_gateway_json(each) for each in found.gateways],
        "counters": {name: asdict(count) for name, count in found.others.items()},
    }


def _gateway_json(found: "GatewayStatus") -> Json:
    from policy.window import FOREVER_NS, from_ns, rfc3339

    monitors = found.enforce_from >= found.enforce_until
    start = None if monitors or not found.enforce_from else from_ns(found.enforce_from)
    end = None if monitors or found.enforce_until == FOREVER_NS else from_ns(found.enforce_until)
    return {
        "name": found.name,
        "mode": "monitor" if monitors else "enforce",
        "enforce_from": rfc3339(start),
        "enforce_until": rfc3339(end),
        "enforces_now": found.enforces,
        "addresses": found.addresses,
        "sources": found.sources,
        "counters": {name: asdict(count) for name, count in found.counters.items()},
    }


def _registry_json(registry: Registry) -> Json:
    return {
        "url": registry.url,
        **registry.get("/v1/status").body,
        "router_reports": list(registry.pages("/v1/routers")),
    }


def _show_router(router: Json) -> None:
    agent = f"process {router['agent']}" if router["agent"] else "not running"
    entries = router["entries"]
    fields = {
        "router": router["name"],
        "agent": agent,
        "registry": router["registry"],
        "revision": _number(router["revision"]),
        "made": router["made"],
        "age": None if router["age_seconds"] is None else f"{router['age_seconds']:,} s",
        "entries": f"{entries['hosts']:,} hosts, {entries['prefixes']:,} prefixes",
    }
    show(details(fields))
    if router["held"]:
        show(Text(f"held: {harmless(router['held'])}", style="bold red"))
    rows = [
        (each["name"], each["attach"], each["attached"], _number(each["program"]), each["error"])
        for each in router["interfaces"]
    ]
    show(table(("interface", "attach", "attached", "program", "error"), rows))
    if not router["filled"]:
        show(Text("nothing is in force here: the maps are not filled", style="yellow"))
        return
    gateways = [
        (
            each["name"],
            each["mode"],
            each["enforces_now"],
            each["addresses"],
            each["sources"],
        )
        for each in router["gateways"]
    ]
    show(table(("gateway", "mode", "enforces now", "#addresses", "#sources"), gateways))
    counted = [(each["name"], each["counters"]) for each in router["gateways"]]
    show(_counters([*counted, (None, router["counters"])]))


def _counters(counted: list[tuple[str | None, Json]]) -> Table:
    """Those that have counted something. Their names are verdict_action."""
    rows = []
    for gateway, counters in counted:
        for name, count in counters.items():
            verdict, _, action = name.rpartition("_")
            if count["packets"]:
                rows.append((gateway, verdict, action, count["packets"], count["bytes"]))
    return table(("gateway", "verdict", "action", "#packets", "#bytes"), rows)


def _show_registry(registry: Json) -> None:
    peers = ", ".join(f"{count:,} {state}" for state, count in registry["peers"].items() if count)
    fields = {
        "registry": f"{registry['url']} ({registry['registry']})",
        "revision": _number(registry["revision"]),
        "gateways": _number(registry["gateways"]),
        "peers": peers or "none",
    }
    show(details(fields))
    show(routers.as_table(registry["router_reports"]))


def _number(value: int | None) -> str | None:
    """A name that is a number: without separators."""
    return None if value is None else str(value)
