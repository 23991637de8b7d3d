"""Whose a prefix is: the operator's own list, read again as it changes."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from api import ownership
from api.ownership import Ownership
from api.settings import Settings
from tests.api.conftest import Service
from tests.api.strangers import listed, seen, told

CSV = """prefix,site,Owner,contact
203.0.113.0/24,fra,Branch networks,netops@example.net
203.0.113.64/26,ams,"Lab, second floor",lab@example.net

2001:db8::/32,,Six,six@example.net
0.0.0.0/0,,Everybody else,noc@example.net
"""


def owner(listed: Ownership, address: str) -> str | None:
    found = listed.find(ip_address(address))
    return None if found is None else f"{found.owner} ({found.contact}) of {found.prefix}"


def test_the_longest_prefix_counts(tmp_path: Path) -> None:
    file = tmp_path / "prefixes.csv"
    file.write_text(CSV)
    held = Ownership(file)
    assert owner(held, "203.0.113.9") is None
    held.look()
    assert held.problem is None
    branch = "Branch networks (netops@example.net) of 203.0.113.0/24"
    assert owner(held, "203.0.113.9") == branch
    assert owner(held, "203.0.113.128") == branch
    lab = "Lab, second floor (lab@example.net) of 203.0.113.64/26"
    assert owner(held, "203.0.113.64") == owner(held, "203.0.113.127") == lab
    assert owner(held, "192.0.2.1") == "Everybody else (noc@example.net) of 0.0.0.0/0"
    assert owner(held, "2001:db8:7::1") == "Six (six@example.net) of 2001:db8::/32"
    assert owner(held, "2001:db9::1") is None


def test_lines_of_json_too(tmp_path: Path) -> None:
    file = tmp_path / "prefixes.ndjson"
    line = {"prefix": "203.0.113.0/24", "owner": "Zürich", "contact": "z@example.net", "vlan": 7}
    file.write_text("\ufeff" + json.dumps(line, ensure_ascii=False) + "\r\n\n")
    held = Ownership(file)
    held.look()
    assert owner(held, "203.0.113.9") == "Zürich (z@example.net) of 203.0.113.0/24"


WRONG = [
    ("a.csv", CSV + "203.0.113.7/24,,X,x@example.net\n", "line 7: prefix: 203.0.113.7/24 has"),
    ("a.csv", CSV + "203.0.113.0/24,,X,x@example.net", None),
    ("a.csv", CSV + "192.0.2.0/24,,,x@example.net", "line 7: owner: String should have"),
    ("a.csv", CSV + "192.0.2.0/24,,X,nobody", "line 7: contact: nobody: must be a mail"),
    ("a.csv", CSV + "192.0.2.0/24,,\x1b[2J,x@example.net", "line 7: owner: "),
    ("a.csv", CSV + "192.0.2.0/24", "line 7: owner: missing"),
    ("a.csv", CSV + '192.0.2.0/24,,"X', "is no CSV"),
    ("a.csv", CSV + "192.0.2.0/24,,\udcff,x@example.net", "is not UTF-8"),
    ("a.csv", "net,owner\n", "its first line names no column prefix, contact"),
    ("a.csv", "", "names no column"),
    ("a.csv", "\n".join([CSV, *["x,,,"] * 9]), "9 wrong lines; line 8: "),
    ("a.ndjson", "nonsense\n", "line 1: not JSON as in"),
    ("a.ndjson", "[" * 100_000, "line 1: not JSON as in"),
    ("a.ndjson", '\n{"prefix": 7, "owner": "X"}\n', "line 2: prefix: 7: "),
    ("gone.csv", None, "No such file"),
]


@pytest.mark.parametrize(("name", "text", "problem"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_said_by_line_and_the_list_stays(
    tmp_path: Path, name: str, text: str | None, problem: str | None
) -> None:
    file = tmp_path / name
    right = '{"prefix": "203.0.113.0/24", "owner": "X", "contact": "x@example.net"}\n'
    file.write_text(CSV if file.suffix == ".csv" else right)
    held = Ownership(file)
    held.look()
    before = owner(held, "203.0.113.9")
    file.unlink()
    if text is not None:
        file.write_bytes(text.encode(errors="surrogateescape"))
    held.look()
    if problem is None:
        assert held.problem is None
        assert owner(held, "203.0.113.9") == "X (x@example.net) of 203.0.113.0/24"
        return
    assert held.problem is not None
    assert problem in held.problem
    assert held.problem.isprintable()
    assert len(held.problem) < 2000
    assert owner(held, "203.0.113.9") == before is not None


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "prefixes.csv"
    file.write_text(CSV)
    for name, most, problem in (("MOST_LINES", 3, "more than 3 lines"), ("MOST_BYTES", 9, "MiB")):
        with monkeypatch.context() as patched:
            patched.setattr(ownership, name, most)
            held = Ownership(file)
            held.look()
            assert held.problem is not None
            assert problem in held.problem


def test_it_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "prefixes.csv"
    file.write_text(CSV)
    held = Ownership(file)
    held.look()
    new = tmp_path / "new"
    new.write_text(CSV.replace("Branch", "Other!"))
    stamp = file.stat().st_mtime_ns
    new.replace(file)
    os.utime(file, ns=(stamp, stamp))
    held.look()
    assert "Other! networks" in str(owner(held, "203.0.113.9"))


def test_it_gives_what_a_registration_leaves_out(
    start: Callable[[Settings], Service], settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "prefixes.csv"
    file.write_text(CSV.replace("0.0.0.0/0", "198.51.100.0/24"))
    service = start(replace(settings, prefixes_file=file))
    service.app.state.ownership.look()
    service.add_gateway()
    told(service, seen("203.0.113.70"), seen("192.0.2.1"))
    known, unknown = (listed(service, source=each)[0] for each in ("203.0.113.70", "192.0.2.1"))
    assert known["owned"] == {
        "prefix": "203.0.113.64/26",
        "owner": "Lab, second floor",
        "contact": "lab@example.net",
    }
    assert unknown["owned"] is None
    body = {"purpose": "Test bench"}
    path = "/v1/strangers/{}/register"
    made = service.admin.post(path.format(known["id"]), json=body).json()
    assert (made["owner"], made["contact"]) == ("Lab, second floor", "lab@example.net")
    refused = service.admin.post(path.format(unknown["id"]), json=body | {"owner": "Us"})
    assert refused.status_code == 422
    (problem,) = refused.json()["errors"]
    assert problem["field"] == "contact"
    assert "PEERGATE_PREFIXES_FILE" in problem["rule"]
