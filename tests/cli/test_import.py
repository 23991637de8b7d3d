"""peergate peer import: many at once."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Peergate
from tests.cli.test_registry_commands import HUB


def line(name: str, **fields: object) -> str:
    rest = {"owner": "Branch networks", "contact": "netops@example.net", "purpose": "A tunnel"}
    said = {"name": name, "gateway": "hub", "sources": ["203.0.113.7"]}
    return json.dumps(said | rest | fields) + "\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "peers.ndjson"
    file.write_text(line("a") + line("b"))
    return file


def states(peergate: Peergate) -> dict[str, str]:
    return {each["name"]: each["state"] for each in peergate("peer", "list", "--json").json}


def test_lines_of_a_file_become_peers(peergate: Peergate, file: Path) -> None:
    assert peergate(*HUB).code == 0
    dry = peergate("peer", "import", "-f", file, "--dry-run")
    assert dry.out == "2 added: nothing was changed (dry run), revision 1\n"
    done = peergate("peer", "import", "-f", file)
    assert (done.code, done.out) == (0, "2 added: imported, revision 1\n")
    assert states(peergate) == {"a": "pending", "b": "pending"}
    more = peergate("peer", "import", "-f", "-", "--json", stdin=line("c").encode())
    assert more.json["peers"]["added"] == 1


def test_what_is_wrong_is_named_by_line(peergate: Peergate, file: Path) -> None:
    assert peergate(*HUB).code == 0
    file.write_text(line("a") + line("b", sources=["203.0.113.7/24"]) + line("a"))
    refused = peergate("peer", "import", "-f", file)
    assert refused.code == 1
    head, *rest = refused.err.splitlines()
    assert head == "peergate: the import is refused, nothing changed: 2 problems in 3 lines"
    assert rest == [
        "  line 2: sources[0]: 203.0.113.7/24: host bits are set: did you mean 203.0.113.0/24?",
        "  line 3: name: a: line 1 has a peer of this name at gateway hub",
    ]
    # Also what is found only once the answer has begun.
    file.write_text(line("a", gateway="nowhere"))
    late = peergate("peer", "import", "-f", file)
    assert (late.code, "line 1: gateway: nowhere: no gateway" in late.err) == (1, True)
    assert states(peergate) == {}


def test_an_export_replaces_what_was_changed_since(peergate: Peergate, file: Path) -> None:
    assert peergate(*HUB).code == 0
    assert peergate("peer", "import", "-f", file, "--state", "approved").code == 0
    assert peergate("peer", "export", "-o", file).code == 0
    assert peergate("peer", "revoke", "a", "--reason", "Closed").code == 0
    more = line("c").encode()
    assert peergate("peer", "import", "-f", "-", "--state", "approved", stdin=more).code == 0
    refused = peergate("peer", "import", "-f", "-", "--replace", stdin=more)
    assert (refused.code, "--replace needs a file" in refused.err) == (2, True)
    done = peergate("peer", "import", "-f", file, "--replace", "--yes")
    assert done.out == "1 added, 1 revoked, 1 unchanged: imported, revision 5\n"
    found = peergate("peer", "list", "--state", "active", "--json").json
    assert sorted(each["name"] for each in found) == ["a", "b"]


def test_a_file_that_is_not_there(peergate: Peergate, tmp_path: Path) -> None:
    missing = peergate("peer", "import", "-f", tmp_path / "no.ndjson")
    assert missing.code == 1
    assert "cannot be read: No such file or directory" in missing.err
