"""Bodies as people would send them, for the OpenAPI document."""

from fastapi.openapi.models import Example

_HUB = {
    "name": "hub",
    "addresses": ["198.51.100.1", "2001:db8::1"],
    "services": ["wireguard", "ipsec", "udp/4433"],
    "mode": "enforce",
    "enforce_from": "2026-12-01T00:00:00Z",
}
_BRANCH = {
    "name": "branch-7",
    "gateway": "hub",
    "owner": "Branch networks",
    "contact": "netops@example.net",
    "purpose": "Site-to-site tunnel of branch 7",
    "sources": ["203.0.113.7", "203.0.113.64/27", "2001:db8:7::/48"],
    "valid_until": "2027-01-31T00:00:00Z",
}

GATEWAY: dict[str, Example] = {"hub": Example(value=_HUB)}
GATEWAY_PATCH: dict[str, Example] = {
    "monitor": Example(value={"mode": "monitor", "enforce_from": None, "enforce_until": None})
}
PEER: dict[str, Example] = {"branch": Example(value=_BRANCH)}
PEER_PATCH: dict[str, Example] = {"moved": Example(value={"sources": ["203.0.113.8"]})}
DECISION: dict[str, Example] = {"reason": Example(value={"reason": "contract ended"})}
RENEWAL: dict[str, Example] = {
    "until": Example(value={"valid_until": "2040-01-31T00:00:00Z"}),
    "without end": Example(value={"valid_until": None}),
}
POLICY: dict[str, Example] = {"one branch": Example(value={"gateways": [_HUB], "peers": [_BRANCH]})}
TOKEN: dict[str, Example] = {"router": Example(value={"name": "router-1", "role": "agent"})}
REPORT: dict[str, Example] = {
    "router": Example(
        value={
            "registry": "4f6f0c9e-9f1f-4a57-9d28-2f4f3a0e7b11",
            "revision": 12,
            "version": "0.1.0",
            "kernel": "6.18.0",
            "time": "2026-11-23T12:00:00Z",
            "interfaces": [
                {
                    "name": "eth0",
                    "attach": "native",
                    "attached": True,
                    "program": 57,
                    "error": None,
                }
            ],
            "entries": {"hosts": 10, "prefixes": 3},
            "repairs": 0,
            "held": None,
            "counters": {"hub": {"registered_pass": {"packets": 1, "bytes": 60}}},
        }
    )
}
