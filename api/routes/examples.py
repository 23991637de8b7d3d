"""Bodies as people would send them, for the OpenAPI document."""

from api.records import Json

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

_ROUTER = {
    "registry": "4f6f0c9e-9f1f-4a57-9d28-2f4f3a0e7b11",
    "revision": 12,
    "version": "0.1.0",
    "kernel": "6.18.0",
    "time": "2026-11-23T12:00:00Z",
    "interfaces": [
        {"name": "eth0", "attach": "native", "attached": True, "program": 57, "error": None}
    ],
    "entries": {"hosts": 10, "prefixes": 3},
    "repairs": 0,
    "held": None,
    "clock": {"offset": 0.012, "synchronised": True, "correction": 0.0},
    "heard": "2026-11-23T11:59:50Z",
    "counters": {"hub": {"registered_pass": {"packets": 1, "bytes": 60}}},
}
_STRANGER = {
    "gateway": "hub",
    "source": "203.0.113.9",
    "service": "udp/51820",
    "first_seen": "2026-11-23T11:55:02Z",
    "last_seen": "2026-11-23T11:59:58Z",
    "packets": 320,
    "samples": 16,
    "minutes": 5,
    "dropped": False,
}
_BOUNDS = {
    "sources": 3,
    "ipv4_length": 32,
    "ipv6_length": 56,
    "here_ipv6_length": 64,
    "interval_seconds": 0,
    "within": ["203.0.113.0/24", "2001:db8::/32"],
}
_ACCOUNT = {
    "packet": {
        "src": "203.0.113.9",
        "dst": "198.51.100.1",
        "proto": 17,
        "sport": 49152,
        "dport": 51820,
    },
    "now": "2026-11-23T12:00:00Z",
    "revision": 12,
    "verdict": "unregistered",
    "action": "drop",
    "would_drop": False,
    "gateway": "hub",
    "peer": None,
    "nearest": None,
    "why": ["no registration at hub comes near 203.0.113.9", "hub enforces: dropped"],
}
_REASON: dict[str, Json] = {"with a reason": {"reason": "contract ended"}}

# By operation: a name and the body. They are put into the document as they stand, for
# FastAPI would leave out what is null.
EXAMPLES: dict[tuple[str, str], dict[str, Json]] = {
    ("post", "/v1/gateways"): {"hub": _HUB},
    ("patch", "/v1/gateways/{name}"): {
        "only count": {"mode": "monitor", "enforce_from": None, "enforce_until": None}
    },
    ("put", "/v1/gateways/{name}/cutover"): {
        "in spite of strangers": {
            "at": "2040-01-31T16:00:00Z",
            "confirm_within": 900,
            "most_dropped_sources": 10,
            "override": "They were told in June, and again in November",
        }
    },
    ("post", "/v1/gateways/{name}/cutover/return"): {
        "with a reason": {"reason": "a branch office cannot connect"}
    },
    ("post", "/v1/peers"): {"branch": _BRANCH},
    ("patch", "/v1/peers/{id}"): {
        "moved": {"sources": ["203.0.113.8"]},
        "self-service": {"bounds": _BOUNDS},
    },
    ("post", "/v1/peers/{id}/reject"): _REASON,
    ("post", "/v1/peers/{id}/revoke"): _REASON,
    ("post", "/v1/peers/{id}/renew"): {
        "until": {"valid_until": "2040-01-31T00:00:00Z"},
        "without end": {"valid_until": None},
    },
    ("post", "/v1/peers/{id}/token"): {"for a cron job": {"name": "branch-7-cron"}},
    ("put", "/v1/peers/{id}/sources"): {"moved": {"sources": ["203.0.113.9"]}},
    ("post", "/v1/peers/{id}/propose"): {
        "renewal": {"valid_until": "2040-01-31T00:00:00Z", "reason": "the contract goes on"},
        "another source": {"sources": ["203.0.113.8"]},
    },
    ("post", "/v1/peers/{id}/decline"): {"with a reason": {"reason": "ask again in January"}},
    ("patch", "/v1/rules"): {
        "terms of use": {
            "terms": {"version": "2026-11", "url": "https://www.example.net/terms", "text": None}
        },
        "no terms, four eyes, a year": {"terms": None, "four_eyes": True, "longest_days": 366},
        "none": {"four_eyes": False, "longest_days": None},
    },
    ("put", "/v1/policy"): {"one branch": {"gateways": [_HUB], "peers": [_BRANCH]}},
    ("post", "/v1/tokens"): {"router": {"name": "edge-1", "role": "agent"}},
    ("post", "/v1/routers"): {"in Frankfurt": {"name": "edge-2", "labels": {"site": "fra"}}},
    ("patch", "/v1/routers/{name}"): {"moved": {"labels": {"site": "ams"}}},
    ("post", "/v1/rollback"): {"to an earlier revision": {"to_revision": 1}},
    ("put", "/v1/rollout"): {"an hour": {"canaries": {"stage": "canary"}, "hold": 3600}},
    ("post", "/v1/rollout/confirm"): {"seen": {"revision": 12}},
    ("put", "/v1/routers/{name}/report"): {"router": _ROUTER},
    ("put", "/v1/routers/{name}/questions/{id}"): {"what the program says": {"account": _ACCOUNT}},
    ("put", "/v1/routers/{name}/strangers"): {
        "one": {
            "registry": _ROUTER["registry"],
            "since": "2026-11-23T11:55:00Z",
            "until": "2026-11-23T12:00:00Z",
            "gateways": {"hub": {"packets": 320, "samples": 16}},
            "strangers": [_STRANGER],
        }
    },
    ("post", "/v1/strangers/{id}/register"): {
        "branch": {
            "name": "branch-8",
            "owner": "Branch networks",
            "contact": "netops@example.net",
            "purpose": "Site-to-site tunnel of branch 8",
            "prefix_length": 32,
        }
    },
    ("post", "/v1/sign-offs"): {
        "scanner": {
            "gateway": "hub",
            "prefix": "198.51.100.128/25",
            "reason": "a measurement project: it may see that we drop",
            "until": "2040-01-31T00:00:00Z",
        }
    },
    ("post", "/v1/webhooks"): {
        "reminders": {
            "name": "pager",
            "url": "https://192.0.2.80/peergate",
            "types": ["peer.requested", "router.silent"],
        }
    },
    ("patch", "/v1/webhooks/{name}"): {"off": {"enabled": False}},
    ("put", "/v1/routers/{name}/seen"): {
        "two": {
            "registry": _ROUTER["registry"],
            "seen": [{"at": "2026-11-23T12:00:00Z", "peers": [1, 2]}],
        }
    },
}
