"""What a router tells its registry: revision in force, attachment, counters."""

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from control.gate import Gate
from control.interfaces import InterfaceState
from control.model import Count

NO_GATEWAY = 0


def peergate_version() -> str:
    try:
        return version("peergate")
    except PackageNotFoundError:
        return "unknown"


def report(
    gate: Gate, registry: str, revision: int, interfaces: tuple[InterfaceState, ...]
) -> dict[str, object]:
    """The body of PUT /v1/routers/{name}/report."""
    sources = [source for _, source in gate.wanted.entries]
    hosts = sum(source.prefixlen == source.max_prefixlen for source in sources)
    return {
        "registry": registry,
        "revision": revision,
        "version": peergate_version(),
        "kernel": platform.release(),
        "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "interfaces": [
            {
                "name": state.name,
                "attach": state.attach,
                "attached": state.attached,
                "program": state.program,
                "error": state.error,
            }
            for state in interfaces
        ],
        "entries": {"hosts": hosts, "prefixes": len(sources) - hosts},
        "repairs": gate.repairs,
        "held": None if gate.held is None else gate.held.reason,
        "counters": counters_by_name(gate),
    }


def counters_by_name(gate: Gate) -> dict[str, dict[str, dict[str, int]]]:
    """Counters under their gateways' names; "" where no gateway is known."""
    names = {number: row.name for number, row in gate.wanted.gateways.items()}
    names[NO_GATEWAY] = ""
    return {
        names[number]: {name: _count(count) for name, count in counts.items()}
        for number, counts in gate.plane.counters().items()
        if number in names
    }


def _count(count: Count) -> dict[str, int]:
    return {"packets": count.packets, "bytes": count.bytes}
