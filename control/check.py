"""peergate agent --check: what would hinder the agent, found without changing anything."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from control import links, pins
from control.allowlist import from_policy
from control.errors import ControlError, DataPlaneError
from control.interfaces import look
from control.lock import holder
from control.plan import check_room, resolve
from control.settings import Settings
from control.sizes import Sizes
from control.snapshot import load_snapshot
from policy.errors import PolicyError
from policy.file import load_policy
from policy.services import warning
from policy.window import to_ns

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `message` names it, and where it is no ok, the mend."""

    level: Level
    message: str


def check(settings: Settings, policy: Path | None = None) -> list[Finding]:
    """Everything that the agent will need; errors are what it cannot start with."""
    interfaces = [interface(settings, name) for name in settings.interfaces]
    findings = [*program(), *interfaces, *state(settings), *metrics(settings)]
    return [*findings, *(registry(settings) if policy is None else policy_file(settings, policy))]


def program() -> Iterator[Finding]:
    try:
        from control.dataplane import SHORTEST_FRAME, DataPlane

        with DataPlane.offline(Sizes()) as plane:
            plane.explain(bytes(SHORTEST_FRAME), 0)
    except ImportError:
        yield Finding("error", "bcc is missing: install Debian's python3-bpfcc (not PyPI's bcc)")
    except DataPlaneError as error:
        yield Finding("error", error.message)
    else:
        yield Finding("ok", "the program compiles and loads here")


def interface(settings: Settings, name: str) -> Finding:
    """What sits on one interface, and whether it can take the program."""
    found = look(name, settings.attach, pins.Programs(settings.bpffs))
    if found.error is not None:
        return Finding("warning" if found.attached else "error", found.error)
    if found.attached:
        return Finding("ok", f"{name}: program {found.program} is attached, {found.attach}")
    by = f"driver {links.driver(name)}"
    return Finding("ok", f"{name}: free for the program, {settings.attach}, {by}")


def state(settings: Settings) -> Iterator[Finding]:
    if (process := holder(settings.state_dir)) is not None:
        yield Finding("ok", f"an agent runs already: process {process}")
    try:
        snapshot = load_snapshot(settings.state_dir)
    except ControlError as error:
        yield Finding("warning", f"{error.message}: it is no start if the registry is away")
        return
    if snapshot is not None:
        known = f"revision {snapshot.revision} of {snapshot.registry}"
        yield Finding("ok", f"{settings.state_dir}: the last good allowlist is {known}")
    parent = next(
        path for path in (settings.state_dir, *settings.state_dir.parents) if path.exists()
    )
    if not os.access(parent, os.W_OK | os.X_OK):
        yield Finding("error", f"{parent}: not writable: run as root, or set state_dir")


def metrics(settings: Settings) -> Iterator[Finding]:
    where = settings.metrics_listen
    if where is not None and not where.address.is_loopback:
        text = "whoever reaches it reads them, without a token: let only your Prometheus in"
        yield Finding("warning", f"metrics at {where}: {text}")


def registry(settings: Settings) -> Iterator[Finding]:
    if settings.registry_url is None:
        yield Finding(
            "error", "registry_url is not set: set it or policy_file, or give --policy FILE"
        )
        return
    if settings.registry_url.startswith("http:") and not _is_local(settings.registry_url):
        yield Finding("warning", f"{settings.registry_url}: the token travels in clear: use https")
    if settings.ca_file is not None and not os.access(settings.ca_file, os.R_OK):
        yield Finding("error", f"{settings.ca_file}: cannot be read")
    if settings.token_file is None:
        yield Finding("error", "token_file is not set: the registry wants a token of role agent")
    else:
        yield _token(settings.token_file)


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token(path: Path) -> Finding:
    try:
        mode = path.stat().st_mode
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not text"
        return Finding("error", f"{path}: the token cannot be read: {why}")
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        return Finding("error", f"{path}: everybody can read the token: chmod o= {path}")
    if len(token.split()) != 1:
        return Finding("error", f"{path}: holds no token: one line, as the API gave it")
    return Finding("ok", f"{path}: holds a token")


def policy_file(settings: Settings, path: Path) -> Iterator[Finding]:
    try:
        document = load_policy(path)
    except PolicyError as error:
        yield from (Finding("error", f"{path}: {problem}") for problem in error.problems)
        return
    now = datetime.now(UTC)
    try:
        check_room(resolve(from_policy(document, time=now), {}, to_ns(now)), settings.limits)
    except DataPlaneError as error:
        yield Finding("error", f"{path}: {error.message}")
        return
    counts = f"{len(document.gateways)} gateways, {len(document.peers)} peers"
    yield Finding("ok", f"{path}: {counts}")
    for gateway in document.gateways:
        for service in gateway.offered:
            if (text := warning(service)) is not None:
                yield Finding("warning", f"{path}: gateway {gateway.name}: {service}: {text}")
