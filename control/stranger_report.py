"""Strangers as the registry takes them, and as this router keeps them for `router strangers`."""

import json
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import numpy as np

from control import state
from control.columns import Rows
from control.errors import SnapshotError
from control.weights import Total
from policy.services import Service
from policy.window import from_ns, rfc3339

FILE = "strangers.json"
# So many are told of in one request, and kept in the file.
AT_ONCE = 10_000


def document(
    rows: Rows,
    totals: Mapping[int, Total],
    names: Mapping[int, str],
    since: int,
    until: int,
) -> dict[str, object]:
    """What PUT /v1/routers/{name}/strangers takes, but for the registry; times are in ns.

    `names` are the gateways'; what is about others, which are gone, is left out. So are sources
    as ::ffff:192.0.2.1.
    """
    high, low = rows["number"].T
    # Nobody's on any wire, and no registry takes it.
    mapped = (rows["version"] == 6) & (high == 0) & (low >> np.uint64(32) == 0xFFFF)
    rows = rows[np.isin(rows["gateway"], list(names)) & ~mapped]
    return {
        "since": rfc3339(from_ns(since)),
        "until": rfc3339(from_ns(until)),
        "gateways": {
            names[number]: total._asdict() for number, total in totals.items() if number in names
        },
        "strangers": list(_strangers(rows[:AT_ONCE], names)),
    }


def _strangers(rows: Rows, names: Mapping[int, str]) -> Iterator[dict[str, object]]:
    fields = ("gateway", "version", "protocol", "port", "first", "last", "packets", "samples")
    columns = [rows[name].tolist() for name in (*fields, "minutes", "dropped")]
    sources = rows["number"].tolist()
    for (high, low), *values in zip(sources, *columns, strict=True):
        gateway, version, protocol, port, first, last, packets, samples, minutes, dropped = values
        yield {
            "gateway": names[gateway],
            "source": str(IPv4Address(low) if version == 4 else IPv6Address(high << 64 | low)),
            "service": service(protocol, port),
            "first_seen": rfc3339(from_ns(first)),
            "last_seen": rfc3339(from_ns(last)),
            "packets": round(packets),
            "samples": samples,
            # The minute that an interval begins in may have been counted in the one before.
            "minutes": max(minutes, 1),
            "dropped": dropped,
        }


def service(protocol: int, port: int) -> str:
    """As on the wire; a later fragment shows its protocol alone."""
    return str(Service(protocol, port)) if port else f"proto/{protocol}"


def save(state_dir: Path, said: Mapping[str, object]) -> None:
    """Raises SnapshotError."""
    state.write_atomically(state_dir / FILE, json.dumps(said).encode() + b"\n", flush=False)


def load(state_dir: Path) -> dict[str, Any] | None:
    """What an agent saved there last; None where none did. Raises SnapshotError."""
    path = state_dir / FILE
    try:
        said = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is damaged"
        raise SnapshotError(
            f"{path}: cannot be read: {why}; run as root, or wait a minute"
        ) from None
    return said if isinstance(said, dict) else None
