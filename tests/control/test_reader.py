"""Snapshots read in parts: whatever the parts, it is as if the text had been parsed as a whole."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from control.allowlist import Changes, SnapshotDocument, advance, to_json
from control.model import Allowlist, Peer
from control.peers import FOLD_AT, Peers
from control.reader import parse_snapshot, read_snapshot
from policy.document import problems_of
from policy.errors import PolicyError

HUB: dict[str, Any] = {"name": "hub", "addresses": ["198.51.100.1"], "services": ["gre"]}
HEAD = {"registry": "one", "revision": 12, "time": "2026-11-23T12:00:00Z"}


def peer(number: int, **more: object) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"p{number}",
        "gateway": "hub",
        "owner": 'braces } { ], "peers": [ and \\ "quotes"',
        "contact": "netops@example.net",
        "purpose": "Grüße",
        "sources": ["203.0.113.7", f"2001:db8:{number:x}::/48"],
        **more,
    }


MANY = {**HEAD, "gateways": [HUB], "peers": [peer(n) for n in range(1, 300)]}
TEXTS = [
    json.dumps(MANY).encode(),
    json.dumps(MANY, indent=1, ensure_ascii=False).encode(),
    json.dumps(dict(reversed(MANY.items()))).encode(),
    json.dumps({**MANY, "peers": []}).encode(),
    json.dumps({**MANY, "newer": {"peers": [{"a": [{}]}]}}).encode(),
    json.dumps({"newer": {"peers": [peer(1), {"a": [{}]}]}, **MANY}).encode(),
]


def split(text: bytes, size: int) -> list[bytes]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [37, 1000, 1 << 20])
def test_parts_of_any_size(text: bytes, size: int) -> None:
    allowlist = read_snapshot(split(text, size))
    assert len(allowlist.peers) == (0 if b'"peers": []' in text else 299)
    assert allowlist.revision == 12
    for each in allowlist.peers:
        assert each.owner == 'braces } { ], "peers": [ and \\ "quotes"'
        assert each.purpose == "Grüße"
    assert parse_snapshot(to_json(allowlist)) == allowlist


def test_of_peers_said_twice_the_last_count_as_in_any_json() -> None:
    once = json.dumps({**MANY, "peers": [peer(1)]})
    text = once[:-1] + ', "peers": ' + json.dumps([peer(2), peer(3)]) + "}"
    assert [each.id for each in parse_snapshot(text.encode()).peers] == [2, 3]


def problems_as_a_whole(text: bytes) -> tuple[str, ...]:
    try:
        SnapshotDocument.model_validate_json(text)
    except ValidationError as error:
        return tuple(map(str, problems_of(error)))
    return ()


BAD = [
    {"sources": ["203.0.113.7/24"]},
    {"sources": []},
    {"owner": ""},
    {"colour": "red"},
    {"id": 0},
    {"contact": {"a": 1}},
    {"valid_from": "2026-12-02T00:00:00Z", "valid_until": "2026-12-01T00:00:00Z"},
]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("envelope", [{}, {"revision": -1}, {"gateways": [{**HUB, "mode": "x"}]}])
def test_every_problem_is_said_as_of_the_whole(
    bad: dict[str, Any], envelope: dict[str, Any]
) -> None:
    peers = [peer(n, **(bad if n in (2, 70) else {})) for n in range(1, 100)]
    text = json.dumps({**MANY, **envelope, "peers": peers}).encode()
    with pytest.raises(PolicyError) as refused:
        read_snapshot(split(text, 500))
    assert tuple(map(str, refused.value.problems)) == problems_as_a_whole(text)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 600), more=st.binary(max_size=3), less=st.integers(0, 3))
def test_a_damaged_text_is_read_as_the_whole_is_or_refused(at: int, more: bytes, less: int) -> None:
    text = json.dumps({**MANY, "peers": [peer(1), peer(2)]}).encode()
    text = text[:at] + more + text[at + less :]
    try:
        allowlist = read_snapshot(split(text, 64))
    except PolicyError:
        return
    whole = SnapshotDocument.model_validate_json(text)
    assert [each.id for each in allowlist.peers] == [each.id for each in whole.peers]
    assert [each.purpose for each in allowlist.peers] == [each.purpose for each in whole.peers]


def changes(base: Allowlist, peers: dict[int, Peer | None]) -> Changes:
    return Changes(base.registry, base.revision, base.revision + 1, base.time, {}, peers)


def test_changes_on_top_are_folded_in() -> None:
    allowlist = parse_snapshot(TEXTS[0])
    one = allowlist.peers[0]
    known = {each.id: each for each in allowlist.peers}
    for turn in range(3):
        changed: dict[int, Peer | None] = {}
        for number in range(turn * 100, turn * 100 + FOLD_AT * 2 // 3):
            new = replace(one, id=number, name=f"new{turn}")
            changed[number] = new if number % 7 else None
        allowlist = advance(allowlist, changes(allowlist, changed))
        for number, peer_or_none in changed.items():
            known.pop(number, None)
            if peer_or_none is not None:
                known[number] = peer_or_none
        assert {each.id: each for each in allowlist.peers} == known
        assert isinstance(allowlist.peers, Peers)
        assert allowlist.peers.get(one.id) == known.get(one.id)
        assert len(allowlist.peers) == len(known)
    assert parse_snapshot(to_json(allowlist)) == allowlist
