"""peergate peer export, peergate export."""

import json
from pathlib import Path

import pytest

import cli.apply
from tests.cli.conftest import Peergate
from tests.cli.test_apply import POLICY


@pytest.fixture(autouse=True)
def applied(peergate: Peergate, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    assert peergate("apply", "-f", file, "--yes").code == 0


def test_peers_are_lines_of_json(peergate: Peergate, tmp_path: Path) -> None:
    lines = peergate("peer", "export").out
    assert [json.loads(line)["name"] for line in lines.splitlines()] == ["branch-7", "branch-8"]
    file = tmp_path / "peers.ndjson"
    done = peergate("peer", "export", "-o", file)
    assert (done.code, done.out) == (0, f"{file}: 2 peers\n")
    assert file.read_text() == lines
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_a_policy_that_was_exported_changes_nothing(peergate: Peergate, tmp_path: Path) -> None:
    file = tmp_path / "exported.yaml"
    assert peergate("export", "-o", file).code == 0
    assert cli.apply.read_policy(str(file)).peers[0].name == "branch-7"
    again = peergate("apply", "-f", file)
    assert again.out == "nothing to do: the registry matches, revision 1\n"


def test_what_cannot_be_had_leaves_the_old_file(
    peergate: Peergate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "peers.ndjson"
    file.write_text("old")
    monkeypatch.setenv("PEERGATE_TOKEN", "pg_9_wrong")
    refused = peergate("peer", "export", "-o", file)
    assert (refused.code, refused.err.count("\n"), file.read_text()) == (1, 1, "old")
    nowhere = peergate("peer", "export", "-o", tmp_path / "no" / "peers.ndjson")
    assert nowhere.code == 1
    assert "cannot be written: No such file or directory" in nowhere.err
