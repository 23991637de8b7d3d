"""The snapshot and the other files of the state directory: whole, or refused."""

import hashlib
import json
import os
import re
import string
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control import state
from control.errors import SettingsError, SnapshotError
from control.lock import holder, only_agent
from control.model import Allowlist, Gateway, Peer
from control.snapshot import NAME, load_snapshot, save_snapshot
from control.word import Word
from policy.services import Service
from policy.window import Window
from tests.control.registry_server import ONE, OTHER, Key

_BASE64 = (string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/").encode()
NOW = datetime(2026, 11, 23, 12, 30, 5, 250000, tzinfo=UTC)


def word(registry: str = ONE, revision: int = 12) -> Word:
    statement = {
        "registry": registry,
        "kind": "changes",
        "view": "all",
        "after": 11,
        "revision": revision,
        "time": "2026-11-23T12:30:06Z",
        "sha256": "0" * 64,
    }
    return Word.in_headers(Key().headers(statement))


ALLOWLIST = Allowlist(
    ONE,
    12,
    NOW,
    (
        Gateway(
            "hub",
            (ip_network("198.51.100.0/30"), ip_network("2001:db8::1")),
            (Service(17, 51820), Service(50)),
            Window(NOW, None),
        ),
        Gateway("spoke", (ip_network("198.51.100.9"),), (Service(6, 1194),), None),
    ),
    (
        Peer(
            7,
            "branch-7",
            "hub",
            "Branch networks",
            "netops@example.net",
            "Grüße: a tunnel",
            (ip_network("203.0.113.7"), ip_network("2001:db8:7::/48")),
            Window(None, NOW),
        ),
    ),
    word(),
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    assert load_snapshot(tmp_path) is None
    save_snapshot(tmp_path, ALLOWLIST)
    loaded = load_snapshot(tmp_path)
    assert loaded == ALLOWLIST
    assert loaded.word == ALLOWLIST.word
    assert (tmp_path / NAME).stat().st_mode & 0o077 == 0
    assert os.listdir(tmp_path) == [NAME]


def test_cut_off_anywhere_it_is_refused(tmp_path: Path) -> None:
    save_snapshot(tmp_path, ALLOWLIST)
    content = (tmp_path / NAME).read_bytes()
    for length in range(len(content)):
        (tmp_path / NAME).write_bytes(content[:length])
        with pytest.raises(SnapshotError, match="damaged"):
            load_snapshot(tmp_path)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_one_bit_flipped_anywhere_it_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    save_snapshot(tmp_path, ALLOWLIST)
    content = bytearray((tmp_path / NAME).read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(SnapshotError, match="damaged"):
        load_snapshot(tmp_path)


def test_a_signature_is_written_in_one_way(tmp_path: Path) -> None:
    """The last character of base64 has bits that decoders pass over."""
    save_snapshot(tmp_path, ALLOWLIST)
    content = (tmp_path / NAME).read_bytes()
    for end in (m.start() for m in re.finditer(b'=+"', content)):
        other = bytearray(content)
        other[end - 1] = _BASE64[_BASE64.index(content[end - 1]) ^ 1]
        (tmp_path / NAME).write_bytes(other)
        with pytest.raises(SnapshotError, match="damaged"):
            load_snapshot(tmp_path)


def test_a_whole_file_that_is_no_allowlist_is_refused(tmp_path: Path) -> None:
    body = b'{"registry": "x"}'
    header = json.dumps({"sha256": hashlib.sha256(body).hexdigest(), "word": None}).encode()
    (tmp_path / NAME).write_bytes(header + b"\n" + body + b"\n")
    with pytest.raises(SnapshotError, match="not an allowlist: revision: missing"):
        load_snapshot(tmp_path)


@pytest.mark.parametrize("other", [None, word(OTHER), word(revision=13)])
def test_one_that_no_word_is_about_is_refused(tmp_path: Path, other: Word | None) -> None:
    save_snapshot(tmp_path, replace(ALLOWLIST, word=other))
    with pytest.raises(SnapshotError, match="nothing signed belongs to it"):
        load_snapshot(tmp_path)


def test_one_of_a_policy_file_needs_no_word(tmp_path: Path) -> None:
    save_snapshot(tmp_path, replace(ALLOWLIST, registry=state.NO_REGISTRY, word=None))
    assert load_snapshot(tmp_path) is not None


def test_what_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    save_snapshot(tmp_path, ALLOWLIST)
    (tmp_path / f".{NAME}.new").mkdir()
    with pytest.raises(SnapshotError, match=r"snapshot.json: cannot be written"):
        save_snapshot(tmp_path, ALLOWLIST)
    assert load_snapshot(tmp_path) == ALLOWLIST


def test_registries_are_remembered_and_accepted(tmp_path: Path) -> None:
    assert state.known_registry(tmp_path) is None
    state.remember_registry(tmp_path, state.Known("one", 12))
    assert state.known_registry(tmp_path) == state.Known("one", 12)
    state.accept_registry(tmp_path, "two")
    assert state.known_registry(tmp_path) == state.Known("two", 0)


def test_an_accepted_removal_is_used_up_and_does_not_last(tmp_path: Path) -> None:
    state.accept_removal(tmp_path, 40)
    assert state.accepted_removal(tmp_path) == 40
    path = tmp_path / state.ACCEPTED_REMOVAL
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "until_ns": 1}))
    assert state.accepted_removal(tmp_path) is None
    state.accept_removal(tmp_path, 41)
    state.use_up_removal(tmp_path)
    assert state.accepted_removal(tmp_path) is None


def test_a_policy_files_revision_grows_with_its_content(tmp_path: Path) -> None:
    assert state.policy_file_revision(tmp_path, "a") == 1
    assert state.policy_file_revision(tmp_path, "a") == 1
    assert state.policy_file_revision(tmp_path, "b") == 2
    assert state.policy_file_revision(tmp_path, "a") == 3


def test_damaged_small_files_are_as_none(tmp_path: Path) -> None:
    for name in (state.REGISTRY, state.APPLIED, state.CLOCK, state.ACCEPTED_REMOVAL):
        (tmp_path / name).write_bytes(b'{"registry": 3, "now_ns": "x", "revision": []')
    assert state.known_registry(tmp_path) is None
    assert state.applied(tmp_path) is None
    assert state.saved_time(tmp_path) == 0
    assert state.accepted_removal(tmp_path) is None


@pytest.mark.parametrize("content", ['{"now_ns": 1' + "0" * 30 + "}", "[" * 100_000])
def test_absurd_small_files_are_as_none(content: str, tmp_path: Path) -> None:
    (tmp_path / state.CLOCK).write_text(content)
    assert state.saved_time(tmp_path) == 0


def test_filled_is_of_this_boot_and_these_maps(tmp_path: Path) -> None:
    pins = tmp_path / "pins"
    assert not state.is_filled(tmp_path, pins)
    state.mark_filled(tmp_path, pins)
    assert state.is_filled(tmp_path, pins)
    assert not state.is_filled(tmp_path, tmp_path / "other")
    content = json.loads((tmp_path / state.FILLED).read_text())
    (tmp_path / state.FILLED).write_text(json.dumps({**content, "boot": "another"}))
    assert not state.is_filled(tmp_path, pins)


def test_the_lock_says_who_holds_it(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    with only_agent(tmp_path):
        assert holder(tmp_path) == os.getpid()
        with pytest.raises(SettingsError, match=f"process {os.getpid()}"), only_agent(tmp_path):
            pass
    assert holder(tmp_path) is None


def test_a_damaged_registry_file_does_not_open_the_door_to_another(tmp_path: Path) -> None:
    state.remember_applied(tmp_path, state.Applied("ours", 12))
    state.remember_registry(tmp_path, state.Known("ours", 14))
    (tmp_path / state.REGISTRY).write_bytes(b"\0\0")
    assert state.known_registry(tmp_path) == state.Known("ours", 12)


def test_a_policy_file_is_no_registry(tmp_path: Path) -> None:
    state.remember_applied(tmp_path, state.Applied(state.NO_REGISTRY, 3))
    assert state.known_registry(tmp_path) is None
