"""The audit trail through the command line, and a trail that somebody has tampered with."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Peergate

HUB = ("gateway", "add", "hub", "--address", "198.51.100.1", "--service", "wireguard")


@pytest.fixture
def used(peergate: Peergate) -> Peergate:
    """A registry whose trail has five records."""
    assert peergate(*HUB).code == 0
    assert peergate("gateway", "set", "hub", "--mode", "enforce").code == 0
    assert peergate("token", "add", "alice", "--role", "viewer").code == 0
    return peergate


def tamper(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        for trigger in ("audit_no_update", "audit_no_delete"):
            database.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            database.execute(statement)


def noted(peergate: Peergate) -> str:
    head: str = peergate("audit", "verify", "--json").json["head"]
    return head


def test_what_was_changed_is_listed(used: Peergate) -> None:
    listed = used("audit", "list", "--json").json
    assert [(each["number"], each["action"], each["subject"]) for each in listed] == [
        (5, "token.make", "token/2"),
        (4, "gateway.change", "gateway/hub"),
        (3, "gateway.add", "gateway/hub"),
        (2, "token.make", "token/1"),
        (1, "registry.make", "registry"),
    ]
    assert listed[0]["actor"] == {"name": "admin", "role": "admin", "token": 1}
    assert listed[0]["from"] == "127.0.0.1"
    (row,) = [line for line in used("audit", "list").out.splitlines() if "gateway.change" in line]
    assert "spec" in row
    assert "version" in row
    assert [e["number"] for e in used("audit", "list", "--limit", "1", "--json").json] == [5]
    of = used("audit", "list", "--subject", "gateway/hub", "--action", "gateway.add", "--json")
    assert [each["number"] for each in of.json] == [3]


def test_a_whole_trail_is_said_to_be_whole(used: Peergate) -> None:
    verified = used("audit", "verify")
    assert verified.code == 0
    head = noted(used)
    assert verified.out == f"5 records, unbroken; head {head}\n"
    assert used("audit", "verify", "--noted", head).code == 0
    # It goes on, and passes through what was noted.
    assert used("token", "add", "bob", "--role", "viewer").code == 0
    assert used("audit", "verify", "--noted", head, "--json").json["records"] == 6


def test_an_export_is_verified_without_the_registry(used: Peergate, tmp_path: Path) -> None:
    head = noted(used)
    assert used("audit", "export", "-o", "audit.ndjson").out == "audit.ndjson: 5 records\n"
    lines = used("audit", "export").out
    assert (tmp_path / "audit.ndjson").read_text() == lines
    of_file = ("audit", "verify", "audit.ndjson", "--url", "http://127.0.0.1:9")
    assert used(*of_file, "--noted", head).code == 0
    assert used("audit", "verify", "-", stdin=lines.encode()).code == 0

    assert used("token", "add", "bob", "--role", "viewer").code == 0
    rest = used("audit", "export", "--after", "5").out
    (tmp_path / "rest.ndjson").write_text(rest)
    assert used("audit", "verify", "rest.ndjson", "--noted", head).code == 0
    (tmp_path / "all.ndjson").write_text(lines + rest)
    assert used("audit", "verify", "all.ndjson", "--noted", noted(used)).code == 0

    cut = used(*of_file, "--noted", noted(used))
    assert cut.code == 1
    assert "record 6: is missing, and all up to 6: the end was cut off" in cut.err
    (tmp_path / "audit.ndjson").write_text(lines.replace('"gateway/hub"', '"gateway/bub"', 1))
    edited = used(*of_file, "--noted", head)
    assert edited.code == 1
    assert edited.err == (
        "peergate: the audit trail is broken: "
        "record 3: was changed: its hash is not that of its content\n"
    )


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE number = 4", "record 4: was changed"),
        ("DELETE FROM audit WHERE number = 4", "record 4: is missing"),
        ("DELETE FROM audit WHERE number > 3", "record 4: is missing, and all up to 5"),
        ("UPDATE registry SET audit_number = 4", "record 5: the registry does not know of it"),
        ("DELETE FROM audit", "there is no record at all"),
    ],
)
def test_tampering_with_the_database_is_found(
    used: Peergate, tmp_path: Path, statement: str, found: str
) -> None:
    tamper(tmp_path / "registry.db", statement)
    verified = used("audit", "verify")
    assert (verified.code, verified.out) == (1, "")
    assert "the audit trail is broken" in verified.err
    assert found in verified.err
    as_json = used("audit", "verify", "--json")
    assert as_json.code == 1
    assert any(each.startswith(found) for each in json.loads(as_json.out)["findings"])


@pytest.mark.parametrize("head", ["5", "5:abc", "x:" + "0" * 64, "5:" + "G" * 64])
def test_what_was_not_noted_right_is_refused(offline_peergate: Peergate, head: str) -> None:
    refused = offline_peergate("audit", "verify", "--noted", head)
    assert refused.code == 2
    assert "must be NUMBER:HASH" in refused.err


def test_it_is_for_auditors(used: Peergate, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = {
        role: used("token", "add", role, "--role", role).out.strip()
        for role in ("approver", "auditor")
    }
    monkeypatch.setenv("PEERGATE_TOKEN", tokens["approver"])
    for command in ("list", "export", "verify"):
        refused = used("audit", command)
        assert refused.code == 1
        assert "this needs the role admin or auditor" in refused.err
    monkeypatch.setenv("PEERGATE_TOKEN", tokens["auditor"])
    assert used("audit", "verify").code == 0
