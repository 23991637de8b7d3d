"""A registration's life through the command line: rules, proposals."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome, Peergate, Running
from tests.cli.test_registry_commands import HUB, add_peer


@pytest.fixture
def second(peergate: Peergate, monkeypatch: pytest.MonkeyPatch) -> Peergate:
    """Runs a command line as another admin."""
    token = peergate("token", "add", "second", "--role", "admin").out.strip()
    first = os.environ["PEERGATE_TOKEN"]

    def run(*arguments: str | Path, stdin: bytes = b"") -> Outcome:
        monkeypatch.setenv("PEERGATE_TOKEN", token)
        try:
            return peergate(*arguments, stdin=stdin)
        finally:
            monkeypatch.setenv("PEERGATE_TOKEN", first)

    return run


def test_rules_are_shown_and_set(peergate: Peergate, tmp_path: Path) -> None:
    file = tmp_path / "terms.txt"
    file.write_text("Be kind.\nTell us of changes.\n")
    assert peergate("rules", "set", "--four-eyes", "--longest-days", "366").code == 0
    terms = ("--terms-version", "2026-11", "--terms-file", file)
    assert peergate("rules", "set", *terms).code == 0
    assert peergate("rules", "show", "--json").json == {
        "four_eyes": True,
        "longest_days": 366,
        "terms": {"version": "2026-11", "text": "Be kind.\nTell us of changes.", "url": None},
    }
    shown = peergate("rules", "show").out
    assert "Tell us of changes." in shown
    off = ("--no-four-eyes", "--longest-days", "none", "--terms-version", "none")
    assert peergate("rules", "set", *off).code == 0
    assert peergate("rules", "show", "--json").json == {
        "four_eyes": False,
        "longest_days": None,
        "terms": None,
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "nothing to change"),
        (("--longest-days", "a year"), "must be a number of days, or none"),
        (("--terms-url", "https://www.example.net/terms"), "need --terms-version"),
        (("--terms-version", "1", "--terms-file", "nowhere"), "cannot be read"),
    ],
)
def test_a_rule_that_is_none_is_wrong_usage(
    peergate: Peergate, options: tuple[str, ...], said: str
) -> None:
    refused = peergate("rules", "set", *options)
    assert refused.code == 2
    assert said in refused.err


def test_terms_of_use_are_acknowledged(peergate: Peergate) -> None:
    assert peergate(*HUB).code == 0
    url = ("--terms-url", "https://www.example.net/terms")
    assert peergate("rules", "set", "--terms-version", "2026-11", *url).code == 0
    refused = add_peer(peergate, "branch-7")
    assert refused.code == 1
    assert "version 2026-11, https://www.example.net/terms" in refused.err
    assert add_peer(peergate, "branch-7", "--accept-terms", "2026-11").code == 0
    assert peergate("peer", "show", "branch-7", "--json").json["terms"] == "2026-11"


def test_two_take_part_in_what_lets_somebody_in(peergate: Peergate, second: Peergate) -> None:
    assert peergate(*HUB).code == 0
    assert peergate("rules", "set", "--four-eyes").code == 0
    alone = add_peer(peergate, "branch-7", "--approve")
    assert alone.code == 1
    assert "peer 1 is registered and pending, but not approved: " in alone.err
    assert "four-eyes rule" in alone.err
    assert second("peer", "approve", "branch-7").code == 0

    until = "2040-01-31T00:00:00Z"
    more = ("--source", "203.0.113.8", "--until", until, "--reason", "A second line")
    proposed = peergate("peer", "propose", "branch-7", *more)
    assert proposed.out == ("peer 1 (branch-7 at hub) is proposed to change, now active\n")
    shown = second("peer", "show", "branch-7").out
    for line in ("sources: 203.0.113.8", f"valid_until: {until}", "reason: A second line"):
        assert line in shown
    assert peergate("peer", "grant", "branch-7").code == 1
    assert second("peer", "grant", "branch-7").code == 0
    after = peergate("peer", "show", "branch-7", "--json").json
    assert (after["sources"], after["valid_until"]) == (["203.0.113.8"], until)


def test_a_proposal_is_declined(peergate: Peergate) -> None:
    assert peergate(*HUB).code == 0
    assert add_peer(peergate, "branch-7", "--approve").code == 0
    assert peergate("peer", "propose", "branch-7").code == 2
    assert peergate("peer", "propose", "branch-7", "--until", "2040-01-31T00:00:00Z").code == 0
    assert peergate("peer", "decline", "branch-7", "--reason", "Too long").code == 0
    assert "declined by admin: Too long" in peergate("peer", "show", "branch-7").out


def test_peers_that_end_soon_are_listed(peergate: Peergate) -> None:
    assert peergate(*HUB).code == 0
    soon = (datetime.now(UTC) + timedelta(days=3)).isoformat(timespec="seconds")
    assert add_peer(peergate, "branch-7", "--valid-until", soon, "--approve").code == 0
    assert add_peer(peergate, "branch-8", "--approve").code == 0
    assert [each["name"] for each in peergate("peer", "expiring", "--json").json] == ["branch-7"]
    assert "netops@example.net" in peergate("peer", "expiring", "--within", "4d").out
    assert peergate("peer", "expiring", "--within", "2d", "--json").json == []


def test_an_owner_moves_its_sources(
    peergate: Peergate, registry: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert peergate(*HUB).code == 0
    assert add_peer(peergate, "branch-7", "--approve").code == 0
    # Nobody on the internet calls over the loopback: that source is an approver's.
    assert add_peer(peergate, "loop", "--source", "127.0.0.1", "--approve").code == 0
    within = ("--within", "203.0.113.0/24")
    assert peergate("peer", "bounds", "branch-7", "--interval", "0", *within).code == 0
    assert peergate("peer", "bounds", "branch-7", "--none", "--sources", "3").code == 2
    assert "within 203.0.113.0/24" in peergate("peer", "show", "branch-7").out
    assert peergate("peer", "bounds", "loop", "--propose").code == 0
    assert peergate("peer", "grant", "loop").code == 0

    files = []
    for name in ("branch-7", "loop"):
        file = tmp_path / name
        file.write_text(peergate("peer", "token", name).out)
        files.append(("--token-file", file))
    branch, loop = files
    monkeypatch.delenv("PEERGATE_TOKEN")
    moved = peergate("peer", "move", "1", "--source", "203.0.113.8", *branch)
    assert moved.out == "peer 1 (branch-7 at hub): 203.0.113.8\n"
    refused = peergate("peer", "here", "1", *branch)
    assert refused.code == 1
    assert refused.err.count("127.0.0.1: nobody on the internet has this address") == 1
    assert "An approver may set others: peergate peer bounds 1" in refused.err
    for family in ((), ("--family", "4")):
        called = peergate("peer", "here", "2", *family, *loop)
        assert (called.code, called.out) == (0, "peer 2 (loop at hub): 203.0.113.7, 127.0.0.1\n")
    # There is nobody at ::1.
    assert peergate("peer", "here", "2", "--family", "6", *loop).code == 1
    assert peergate("peer", "list", *loop).code == 1

    monkeypatch.setenv("PEERGATE_TOKEN", registry.token)
    assert peergate("peer", "token", "loop", "--end").code == 0
    assert peergate("peer", "here", "2", *loop).code == 1


def test_who_would_be_cut_off_is_told_before(peergate: Peergate, tmp_path: Path) -> None:
    assert peergate(*HUB).code == 0
    assert add_peer(peergate, "branch-7").code == 0
    dry = peergate("peer", "approve", "branch-7", "--dry-run")
    assert dry.out.splitlines() == [
        "lets in branch-7 at hub: 203.0.113.7",
        "peer 1 (branch-7 at hub) would be active: nothing was changed (dry run)",
    ]
    assert peergate("peer", "approve", "branch-7").code == 0
    dry = peergate("peer", "revoke", "branch-7", "--reason", "Closed", "--dry-run")
    assert dry.out.splitlines()[0] == "cuts off branch-7 at hub: 203.0.113.7; not seen"
    found = peergate("peer", "revoke", "1", "--reason", "Closed", "--dry-run", "--json").json
    assert found["impact"]["peers_cut"] == 1
    file = tmp_path / "policy.yaml"
    file.write_text("gateways: [{name: hub, addresses: [198.51.100.1], services: [wireguard]}]\n")
    applied = peergate("apply", "-f", file, "--dry-run").out
    assert "cuts off branch-7 at hub: 203.0.113.7; not seen" in applied
    for command, said in (
        (
            ("peer", "renew", "1", "--until", "2040-01-31T00:00:00Z"),
            "cuts off branch-7 at hub: 203.0.113.7, from 2040-01-31T00:00:00Z; not seen",
        ),
        (("peer", "propose", "1", "--source", "203.0.113.8"), "lets in branch-7 at hub: 203.0.1"),
        (("rollback", "--to-revision", "1"), "cuts off branch-7 at hub: 203.0.113.7; not seen"),
        (("gateway", "set", "hub", "--mode", "enforce"), "gateway hub would be changed, mode enf"),
    ):
        dry = peergate(*command, "--dry-run")
        assert (dry.code, said in dry.out) == (0, True), dry
    assert peergate("gateway", "remove", "hub", "--dry-run").code == 1
    assert peergate("peer", "show", "1", "--json").json["state"] == "active"
    assert peergate("gateway", "show", "hub", "--json").json["mode"] == "monitor"
