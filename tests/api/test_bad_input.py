"""Bodies with one thing wrong: refused with field, value and rule, and nothing changed."""

import json

import pytest

from tests.api.bodies import NOW, WEEK, gateway, peer, report, text
from tests.api.conftest import Service

EARLY, LATE = text(NOW), text(NOW + WEEK)
BACKWARDS = (NOW.isoformat(), "the window ends before it starts")

# What is wrong, then where, which value, and a part of the rule.
GATEWAYS = [
    ({"addresses": ["198.51.100.0/23"]}, "addresses[0]", "198.51.100.0/23", "at most 256"),
    ({"addresses": ["198.51.100.1/24"]}, "addresses[0]", "198.51.100.1/24", "host bits"),
    ({"addresses": ["2001:db8::/64"]}, "addresses[0]", "2001:db8::/64", "at most 256"),
    ({"addresses": ["hub.example.net"]}, "addresses[0]", "hub.example.net", "not an IPv4 or IPv6"),
    ({"addresses": ["224.0.0.5"]}, "addresses[0]", "224.0.0.5", "unicast"),
    ({"addresses": [3325256705]}, "addresses[0]", "3325256705", "text"),
    ({"addresses": []}, "addresses", "", "at least one"),
    ({"services": []}, "services", "", "at least one"),
    ({"services": ["wiregaurd"]}, "services[0]", "wiregaurd", "a service is one of"),
    ({"services": ["udp/0"]}, "services[0]", "udp/0", "1 to 65535"),
    ({"services": ["udp/65536"]}, "services[0]", "udp/65536", "1 to 65535"),
    ({"services": ["proto/6"]}, "services[0]", "proto/6", "tcp/N"),
    ({"services": ["proto/58"]}, "services[0]", "proto/58", "belongs to IP itself"),
    ({"mode": "block"}, "mode", "block", "'monitor' or 'enforce'"),
    ({"enforce_from": LATE, "enforce_until": EARLY}, "enforce_until", *BACKWARDS),
    ({"enforce_from": EARLY, "enforce_until": EARLY}, "enforce_until", *BACKWARDS),
    ({"enforce_from": "2026-12-01"}, "enforce_from", "2026-12-01", "zone"),
    ({"enforce_from": 1795000000}, "enforce_from", "1795000000", "zone"),
    ({"enforce_from": "1795000000"}, "enforce_from", "1795000000", "zone"),
    ({"name": "a hub"}, "name", "a hub", "letters, digits"),
    ({"name": ""}, "name", "", "letters, digits"),
    ({"adresses": []}, "adresses", "", "unknown field"),
]
PEERS = [
    ({"sources": ["203.0.113.7/24"]}, "sources[0]", "203.0.113.7/24", "203.0.113.0/24?"),
    ({"sources": ["0.0.0.0/0"]}, "sources[0]", "0.0.0.0/0", "/8 to /32"),
    ({"sources": ["2000::/15"]}, "sources[0]", "2000::/15", "/16 to /128"),
    ({"sources": ["203.0.113.0/33"]}, "sources[0]", "203.0.113.0/33", "not an IPv4 or IPv6"),
    ({"sources": ["::ffff:203.0.113.7"]}, "sources[0]", "::ffff:203.0.113.7", "IPv4-mapped"),
    ({"sources": ["fe80::1%eth0"]}, "sources[0]", "fe80::1%eth0", "zone"),
    ({"sources": []}, "sources", "", "at least one"),
    ({"sources": "203.0.113.7"}, "sources", "203.0.113.7", "valid"),
    ({"contact": "netops"}, "contact", "netops", "mail address"),
    ({"owner": ""}, "owner", "", "at least 1"),
    ({"purpose": "a\u202eb"}, "purpose", "a\u202eb", "invisible"),
    ({"valid_from": LATE, "valid_until": EARLY}, "valid_until", *BACKWARDS),
    ({"valid_until": "0001-01-01T00:00:00+05:00"}, "valid_until", "0001-01-01", "out of range"),
    ({"gateway": "h b"}, "gateway", "h b", "letters, digits"),
    ({"id": 7}, "id", "7", "unknown field"),
    ({"state": "approved"}, "state", "approved", "unknown field"),
]


def everything(service: Service) -> list[object]:
    return [service.admin.get(path).json() for path in ("/v1/policy", "/v1/peers", "/v1/status")]


def check(service: Service, method: str, path: str, body: object, *wrong: str) -> None:
    before = everything(service)
    refused = service.admin.request(method, path, json=body, headers={"If-Match": "*"})
    assert refused.status_code == 422, refused.text
    field, value, rule = wrong
    (error,) = refused.json()["errors"]
    assert error["field"] == field
    assert error["value"].startswith(value)
    assert rule in error["rule"]
    assert everything(service) == before


@pytest.mark.parametrize(("fields", "field", "value", "rule"), GATEWAYS)
def test_a_wrong_gateway(
    shared: Service, fields: dict[str, object], field: str, value: str, rule: str
) -> None:
    check(shared, "POST", "/v1/gateways", gateway(**fields), field, value, rule)
    policy = {"gateways": [gateway(**fields)]}
    check(shared, "PUT", "/v1/policy", policy, f"gateways[0].{field}", value, rule)
    if "name" not in fields:
        check(shared, "PATCH", "/v1/gateways/hub", fields, field, value, rule)


@pytest.mark.parametrize(("fields", "field", "value", "rule"), PEERS)
def test_a_wrong_peer(
    shared: Service, fields: dict[str, object], field: str, value: str, rule: str
) -> None:
    check(shared, "POST", "/v1/peers", peer(**fields), field, value, rule)
    policy = {"gateways": [gateway()], "peers": [peer(**fields)]}
    check(shared, "PUT", "/v1/policy", policy, f"peers[0].{field}", value, rule)
    if "gateway" not in fields:
        check(shared, "PATCH", "/v1/peers/1", fields, field, value, rule)


def test_every_wrong_field_is_named_at_once(shared: Service) -> None:
    body = {"name": "x y", "sources": ["203.0.113.7", "nowhere"], "extra": 1}
    refused = shared.admin.post("/v1/peers", json=body).json()["errors"]
    assert [each["field"] for each in refused] == [
        "name",
        "gateway",
        "owner",
        "contact",
        "purpose",
        "sources[1]",
        "extra",
    ]


def test_a_peer_at_a_gateway_that_is_not_there(shared: Service) -> None:
    refused = shared.admin.post("/v1/peers", json=peer(gateway="nowhere"))
    assert refused.status_code == 409
    assert refused.json()["errors"] == [
        {"field": "gateway", "value": "nowhere", "rule": "no gateway has this name"}
    ]


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"name": "\\ud800"}', "application/json"),
        (json.dumps(gateway()).encode(), "text/plain"),
        (b"name=hub", "application/x-www-form-urlencoded"),
    ],
)
def test_what_is_not_a_body_at_all(shared: Service, content: bytes, content_type: str) -> None:
    before = everything(shared)
    headers = {"Content-Type": content_type}
    refused = shared.admin.post("/v1/gateways", content=content, headers=headers)
    assert refused.status_code == 422
    assert refused.json()["errors"]
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert everything(shared) == before


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"revision": -1}, "revision"),
        ({"revision": 2**60}, "revision"),
        ({"interfaces": [{"name": "eth0", "attach": "offload", "attached": True}]}, "attach"),
        ({"counters": {"hub": {"registered_pass": {"packets": -1, "bytes": 0}}}}, "packets"),
        ({"unheard": 1}, "unheard"),
    ],
)
def test_a_wrong_report(shared: Service, fields: dict[str, object], field: str) -> None:
    registry = shared.admin.get("/v1/status").json()["registry"]
    before = shared.admin.get("/v1/routers/edge-1").json()
    refused = shared.agent.put("/v1/routers/edge-1/report", json=report(registry, 0) | fields)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"].endswith(field)
    assert shared.admin.get("/v1/routers/edge-1").json() == before
