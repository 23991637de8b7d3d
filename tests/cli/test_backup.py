"""A copy of the embedded database, made while all goes on."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from api import backup
from api.errors import UnavailableError
from tests.cli.conftest import Peergate, Running

GRE = ("--service", "gre")


def test_a_backup_is_the_registry_as_it_was(
    peergate: Peergate, registry: Running, tmp_path: Path
) -> None:
    """With what is in no file yet but the log beside the database."""
    before = peergate("gateway", "list", "--json")
    assert peergate("gateway", "add", "hub", "--address", "198.51.100.1", *GRE).code == 0
    assert (tmp_path / "registry.db-wal").stat().st_size > 0
    done = peergate("api", "backup", "copy.db", "--database", "registry.db", "--json")
    assert done.code == 0, done.err
    assert peergate("gateway", "add", "later", "--address", "198.51.100.2", *GRE).code == 0
    assert (done.json["file"], done.json["revision"]) == ("copy.db", 1)
    assert before.json == []
    copy = tmp_path / "copy.db"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.glob("copy.db*")] == ["copy.db"]
    with closing(sqlite3.connect(copy)) as found:
        assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert found.execute("SELECT name FROM gateways").fetchall() == [("hub",)]
        assert found.execute("SELECT uuid FROM registry").fetchone() == (done.json["registry"],)
    again = peergate("api", "backup", "copy.db", "--database", "registry.db")
    assert (again.code, again.out) == (1, "")
    assert "copy.db: cannot be made (File exists)" in again.err


def test_a_backup_of_what_is_not_there(offline_peergate: Peergate, tmp_path: Path) -> None:
    refused = offline_peergate("api", "backup", "copy.db", "--database", "none.db")
    assert (refused.code, refused.out) == (1, "")
    assert "there is no database" in refused.err
    url = "postgresql:///peergate"
    refused = offline_peergate("api", "backup", "copy.db", "--database", url)
    assert refused.code == 1
    assert "pg_dump" in refused.err
    assert list(tmp_path.iterdir()) == []


def test_half_a_backup_is_none(
    peergate: Peergate, registry: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise UnavailableError("disk full")

    monkeypatch.setattr(backup, "copy_to", full)
    refused = peergate("api", "backup", "copy.db", "--database", "registry.db")
    assert (refused.code, list(tmp_path.glob("copy.db*"))) == (1, [])
