"""Snapshots and changes in the registry's JSON: read, put together, refused."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from control.allowlist import advance, from_policy, parse_changes, to_json
from control.reader import parse_snapshot
from policy.errors import PolicyError
from policy.file import parse_policy

HUB: dict[str, Any] = {
    "name": "hub",
    "addresses": ["198.51.100.1"],
    "services": ["wireguard"],
    "mode": "enforce",
    "enforce_from": None,
    "enforce_until": None,
}
PEER: dict[str, Any] = {
    "id": 7,
    "name": "branch-7",
    "gateway": "hub",
    "owner": "o",
    "contact": "netops@example.net",
    "purpose": "p",
    "sources": ["203.0.113.7/32"],
    "valid_from": None,
    "valid_until": None,
}
HEAD = {"registry": "one", "revision": 12, "time": "2026-11-23T12:00:00Z"}


def snapshot(**changes: object) -> bytes:
    return json.dumps({**HEAD, "gateways": [HUB], "peers": [PEER], **changes}).encode()


def changes(
    gateways: Mapping[str, object] | None = None,
    peers: Mapping[str, object] | None = None,
    **more: object,
) -> bytes:
    head = {**HEAD, "after": 12, "revision": 13}
    return json.dumps({**head, "gateways": gateways or {}, "peers": peers or {}, **more}).encode()


def test_a_snapshot_goes_there_and_back() -> None:
    allowlist = parse_snapshot(snapshot())
    assert allowlist.time == datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert (allowlist.peers[0].id, allowlist.gateways[0].name) == (7, "hub")
    assert parse_snapshot(to_json(allowlist)) == allowlist


def test_a_newer_registry_may_say_more_around_the_allowlist() -> None:
    assert parse_snapshot(snapshot(signature="x")) == parse_snapshot(snapshot())


def test_changes_add_change_and_remove() -> None:
    base = parse_snapshot(snapshot())
    new = {**PEER, "id": 9, "name": "branch-9", "gateway": "spoke"}
    spoke = {**HUB, "name": "spoke", "addresses": ["198.51.100.2"]}
    moved = advance(
        base, parse_changes(changes({"spoke": spoke, "hub": None}, {"7": None, "9": new}))
    )
    assert [g.name for g in moved.gateways] == ["spoke"]
    assert [p.id for p in moved.peers] == [9]
    assert moved.revision == 13


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (changes(after=11), "these changes are not after revision 12 of one"),
        (changes(registry="two"), "these changes are not after revision 12 of one"),
        (changes({"hub": None}), r"peers.7.gateway: hub: no gateway has this name"),
        (
            changes({"spoke": {**HUB, "name": "spoke"}}),
            "udp/51820 at 198.51.100.1: gateway hub has this",
        ),
    ],
)
def test_changes_that_do_not_fit_are_refused(text: bytes, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        advance(parse_snapshot(snapshot()), parse_changes(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (changes({"hub": {**HUB, "name": "other"}}), "another name inside"),
        (changes(peers={"8": PEER}), "another id inside"),
        (changes(revision=3), "is below `after`"),
        (changes(peers={"7": {**PEER, "sources": ["203.0.113.7/24"]}}), "host bits"),
    ],
)
def test_changes_that_contradict_themselves_are_refused(text: bytes, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        parse_changes(text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"revision": -1}, "revision"),
        ({"registry": ""}, "registry"),
        ({"time": "2026-11-23T12:00:00"}, "time"),
        ({"peers": [PEER, PEER]}, "two peers have this id"),
        ({"gateways": [HUB, HUB]}, "two gateways have this name"),
        ({"peers": [{**PEER, "id": 0}]}, "id"),
        ({"peers": [{**PEER, "sources": []}]}, "sources"),
        ({"gateways": [{**HUB, "colour": "red"}]}, "unknown field"),
        ({"gateways": [{**HUB, "addresses": ["198.51.96.0/20"]}]}, "256 addresses"),
    ],
)
def test_snapshots_are_refused_with_field_and_rule(change: dict[str, Any], said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        parse_snapshot(snapshot(**change))


def test_a_files_peers_are_numbered_in_their_order() -> None:
    document = {
        "gateways": [HUB],
        "peers": [{key: value for key, value in PEER.items() if key != "id"}],
    }
    allowlist = from_policy(parse_policy(json.dumps(document)), revision=3)
    assert (allowlist.registry, allowlist.revision, allowlist.peers[0].id) == ("file", 3, 1)
