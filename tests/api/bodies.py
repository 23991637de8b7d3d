"""Bodies that are right, to be made wrong one field at a time."""

from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WEEK = timedelta(weeks=1)


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def gateway(**fields: object) -> dict[str, Any]:
    return {
        "name": "hub",
        "addresses": ["198.51.100.1"],
        "services": ["wireguard"],
        "mode": "enforce",
    } | fields


def peer(**fields: object) -> dict[str, Any]:
    return {
        "name": "branch-7",
        "gateway": "hub",
        "owner": "Branch networks",
        "contact": "netops@example.net",
        "purpose": "Site-to-site tunnel of branch 7",
        "sources": ["203.0.113.7"],
    } | fields


def report(registry: str, revision: int, **fields: object) -> dict[str, Any]:
    return {
        "registry": registry,
        "revision": revision,
        "version": "0.1.0",
        "kernel": "6.18.0",
        "time": text(NOW),
        "interfaces": [
            {"name": "eth0", "attach": "native", "attached": True, "program": 57, "error": None}
        ],
        "entries": {"hosts": 10, "prefixes": 3},
        "repairs": 0,
        "put_back": 0,
        "held": None,
        "heard": None,
        "clock": None,
        "counters": {
            "hub": {"registered_pass": {"packets": 1, "bytes": 60}},
            "": {"other_pass": {"packets": 2, "bytes": 120}},
        },
    } | fields
