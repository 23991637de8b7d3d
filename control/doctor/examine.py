"""All that the doctor looks at, in order; it changes nothing."""

import platform
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from control import devices, syscalls
from control.doctor import (
    agent,
    clock,
    interfaces,
    kernel,
    memory,
    registry,
    routing,
    software,
    tunnels,
)
from control.doctor.finding import Finding
from control.doctor.router import Router
from control.errors import ControlError
from control.settings import Settings

Looks = Callable[[Router], Iterator[Finding]]

# Of any machine, and of one that has settings.
_ALWAYS: tuple[tuple[str, Looks], ...] = (
    ("kernel", lambda _: kernel.kernel()),
    ("software", software.software),
    ("memory", memory.memory),
    ("interfaces", interfaces.interfaces),
    ("uplinks", routing.uplinks),
    ("programs", routing.others),
    ("tunnels", tunnels.tunnels),
    ("source routing", lambda _: routing.source_routing()),
    ("clock", clock.clock),
)
_CONFIGURED: tuple[tuple[str, Looks], ...] = (
    ("agent", agent.agent),
    ("registry", registry.source),
)


def examine(
    settings: Settings | None, policy: Path | None = None, candidates: tuple[str, ...] = ()
) -> Iterator[Finding]:
    """Without settings it says what can be said of the machine, and of the candidates."""
    router = seen(settings, policy, candidates)
    if not router.privileged:
        lacking = ", ".join(syscalls.missing_capabilities())
        yield Finding(
            "note", "privilege", f"this process lacks {lacking}: less is seen", "run as root"
        )
    for subject, looks in _ALWAYS + (_CONFIGURED if settings or policy else ()):
        try:
            yield from looks(router)
        except (ControlError, OSError) as error:
            # One thing that cannot be read keeps no other from being looked at.
            text = error.message if isinstance(error, ControlError) else str(error)
            yield Finding("warning", subject, f"cannot be looked at: {text}")


def seen(
    settings: Settings | None, policy: Path | None = None, candidates: tuple[str, ...] = ()
) -> Router:
    """What is examined, read once. Raises LinkError."""
    wanted = settings or Settings(router=socket.gethostname(), interfaces=())
    return Router(
        settings=wanted,
        configured=settings is not None,
        candidates=tuple(name for name in candidates if name not in wanted.interfaces),
        policy=policy or wanted.policy_file,
        privileged=not syscalls.missing_capabilities(),
        memlock=resource.getrlimit(resource.RLIMIT_MEMLOCK)[1],
        kernel=kernel.parse_version(platform.release()) or kernel.LOWEST,
        devices=devices.devices(),
        xdp=devices.xdp_features(),
    )
