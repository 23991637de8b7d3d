"""A policy read piece by piece is what it is when it is read whole."""

import io
import json
from datetime import date

import pytest

from policy.errors import PolicyError
from policy.file import parse_policy
from policy.stream import Part, parts

POLICY = """\
peers:  # before the gateways, for once
  - name: branch-7
    gateway: hub
    owner: "Größe: 😀"
    contact: netops@example.net
    purpose: >-
      Two
      lines
    sources: [203.0.113.7, "2001:db8:7::/48"]
    valid_until: 2027-01-31T00:00:00Z
  - {name: '007', gateway: hub, owner: a, contact: a@example.net, purpose: b, sources: [192.0.2.1]}
gateways:
  - name: hub
    addresses: [198.51.100.1]
    services: [wireguard]
"""


def read(text: str) -> list[Part]:
    return list(parts(io.BytesIO(text.encode())))


def whole(found: list[Part]) -> str:
    document = {
        f"{kind}s": [content for each, content, _ in found if each == kind]
        for kind in ("gateway", "peer")
    }

    def written(value: object) -> str:
        assert isinstance(value, date)
        return value.isoformat()

    return json.dumps(document, default=written, ensure_ascii=False)


def test_it_is_the_same_policy() -> None:
    found = read(POLICY)
    assert [kind for kind, _, _ in found] == ["peer", "peer", "gateway"]
    lines = POLICY.splitlines()
    assert [lines[line - 1].lstrip(" -{")[:4] for _, _, line in found] == ["name"] * 3
    assert parse_policy(whole(found)) == parse_policy(POLICY)


@pytest.mark.parametrize("text", ["", "gateways:\npeers:\n", "gateways: []\n", "---\npeers: ~\n"])
def test_nothing_is_nothing(text: str) -> None:
    assert read(text) == []
    assert parse_policy(text).peers == ()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("- a", "a policy is a mapping"),
        ("peers: {a: b}", "a policy is a mapping"),
        ("peers: some", "a list is wanted here"),
        ("routers: []", "'routers' is no part of a policy"),
        ("peers: []\npeers: []", "'peers' stands twice"),
        ("peers:\n  - {name: a, name: b}", "line 2, column 15: not a YAML document: 'name'"),
        ("peers:\n  - &a {name: b}\n  - *a", "aliases are not allowed"),
        ("peers:\n  - !!str a", "tags are not allowed"),
        ("peers: !!seq []", "a policy is a mapping"),
        ("peers:\n  - {[a]: b}", "a key is a single word"),
        ("peers:\n  - " + "[" * 2000, "as deep as this"),
        ("peers:\n  - {until: 2027-13-31T00:00:00Z}", "line 2, column 13"),
        ("peers:\n  - {a", "not a YAML document"),
        ("peers: []\n---\npeers: []", "a policy is a mapping"),
        ("peers:\n  - a: \x07", "not a YAML document"),
    ],
)
def test_what_is_no_policy_is_said_to_be_none(text: str, what: str) -> None:
    with pytest.raises(PolicyError) as refused:
        read(text)
    assert what in str(refused.value)


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(PolicyError):
        list(parts(io.BytesIO(b"peers:\n  - \xff\xff")))
