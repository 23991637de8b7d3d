"""Strangers through the command line, against a real registry."""

import csv
import io
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.cli.conftest import Peergate, Running

HUB = ("gateway", "add", "hub", "--address", "198.51.100.1", "--service", "wireguard")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def hub(peergate: Peergate, registry: Running) -> Peergate:
    """Two strangers at one gateway."""
    assert peergate(*HUB).code == 0
    token = peergate("token", "add", "edge-1", "--role", "agent").out.strip()
    now = datetime.now(UTC)
    strangers = [
        {
            "gateway": "hub",
            "source": source,
            "service": service,
            "first_seen": (now - 5 * MINUTE).isoformat(),
            "last_seen": (now - minutes * MINUTE).isoformat(),
            "packets": packets,
            "samples": 16,
            "minutes": minutes,
            "dropped": False,
        }
        for source, service, packets, minutes in (
            ("203.0.113.9", "udp/51820", 1600, 4),
            ("203.0.113.9", "udp/500", 16, 1),
            ("2001:db8::9", "udp/51820", 160_000, 2),
        )
    ]
    body = {
        "registry": peergate("status", "--json").json["registry"]["registry"],
        "since": (now - 5 * MINUTE).isoformat(),
        "until": now.isoformat(),
        "gateways": {"hub": {"packets": 161_616, "samples": 48}},
        "strangers": strangers,
    }
    told = httpx.put(
        f"{registry.url}/v1/routers/edge-1/strangers",
        json=body,
        headers={"Authorization": f"Bearer {token}"},
    )
    assert told.status_code == 204, told.text
    return peergate


def test_strangers_are_listed_with_their_error(hub: Peergate) -> None:
    shown = hub("stranger", "list").out
    first, second, third = (line for line in shown.splitlines() if "db8::9" in line or ".9" in line)
    assert first.split()[:6] == ["hub", "203.0.113.9", "udp/51820", "4", "1,600", "±398"]
    assert second.split()[:6] == ["hub", "2001:db8::9", "udp/51820", "2", "160,000", "±39,998"]
    assert "would drop" in third
    sheet = hub("stranger", "list", "--csv", "--limit", "1")
    (row,) = csv.DictReader(io.StringIO(sheet.out))
    assert list(row)[:4] == ["gateway", "source", "service", "first_seen"]
    assert (row["source"], row["service"], row["minutes"]) == ("203.0.113.9", "udp/51820", "4")
    assert (row["packets"], row["packets_error"], row["dropped"]) == ("1600", "398", "no")
    assert "warning: these are the first 1: --limit gives more" in sheet.err
    assert hub("stranger", "list", "--csv", "--limit", "3").err == ""
    assert "±0" in third
    (one,) = hub("stranger", "list", "--sort", "packets", "--limit", "1", "--json").json
    assert one["source"] == "2001:db8::9"
    assert "the first 1: --limit shows more" in hub("stranger", "list", "--limit", "1").out
    (one,) = hub("stranger", "list", "--service", "udp/500", "--since", "1h", "--json").json
    assert one["packets"] == 16
    assert hub("stranger", "list", "--since", "30m", "--service", "wireguard", "--json").json != []
    assert hub("stranger", "list", "--since", "2099-01-01T00:00:00Z", "--json").json == []
    for wrong, told in (
        (("--since", "yesterday"), "7d, 36h, 90m"),
        (("--service", "ipsec"), "say one of udp/500, udp/4500"),
        (("--service", "icmp"), "a service is one of"),
    ):
        refused = hub("stranger", "list", *wrong)
        assert refused.code == 2
        assert told in refused.err


def test_a_stranger_is_shown_and_becomes_a_peer(hub: Peergate) -> None:
    shown = hub("stranger", "show", "203.0.113.9")
    assert shown.code == 0
    assert "1,600 ±398, of 16 samples" in shown.out
    assert "udp/500" in shown.out
    assert len(hub("stranger", "show", "203.0.113.9", "--json").json) == 2
    who = ("--owner", "Branch networks", "--contact", "netops@example.net")
    command = ("stranger", "register", "203.0.113.9", "--gateway", "hub", "--purpose", "A tunnel")
    missing = hub(*command)
    assert missing.code == 1
    assert "owner: missing: say it, no prefix of PEERGATE_PREFIXES_FILE holds" in missing.err
    made = hub(*command, *who, "--prefix-length", "30")
    assert made.out == "peer 1 (stranger-203.0.113.8-30 at hub) registered, now pending\n"
    assert [e["source"] for e in hub("stranger", "list", "--json").json] == ["2001:db8::9"]
    assert "covered by peer 1, pending" in hub("stranger", "list", "--all").out
    again = hub(*command, *who)
    assert again.code == 1
    assert "peer 1 (stranger-203.0.113.8-30, pending) covers 203.0.113.9" in again.err
    nobody = hub("stranger", "show", "192.0.2.1", "--gateway", "hub")
    assert nobody.code == 1
    assert "no stranger was seen from there at hub; see `peergate stranger list" in nobody.err


def test_a_stranger_is_signed_off_and_back(hub: Peergate) -> None:
    at = ("--gateway", "hub")
    done = hub("stranger", "sign-off", "203.0.113.8/30", *at, "--reason", "A known scanner")
    assert (done.code, done.out) == (0, "strangers from 203.0.113.8/30 at hub are signed off\n")
    assert [e["source"] for e in hub("stranger", "list", "--json").json] == ["2001:db8::9"]
    assert "signed off by admin: A known scanner" in hub("stranger", "list", "--all").out
    (listed,) = hub("stranger", "sign-offs", *at, "--json").json
    assert listed["reason"] == "A known scanner"
    part = hub("stranger", "take-back", "203.0.113.9", *at)
    assert part.code == 1
    assert "is not signed off at hub; see `peergate stranger sign-offs`" in part.err
    back = hub("stranger", "take-back", "203.0.113.8/30", *at)
    assert (back.code, back.out) == (0, "strangers from 203.0.113.8/30 at hub count again\n")
    assert len(hub("stranger", "list", "--json").json) == 3
    assert hub("stranger", "sign-off", "203.0.113.9/30", *at, "--reason", "x").code == 1


def test_whose_registration_has_ended_may_be_signed_off(hub: Peergate) -> None:
    """Both is said."""
    at, who = ("--gateway", "hub"), ("--owner", "Branch networks", "--contact", "n@example.net")
    ended = (*who, "--purpose", "A tunnel", "--valid-until", "2026-01-01T00:00:00Z")
    assert hub("stranger", "register", "203.0.113.9", *at, *ended).code == 0
    assert hub("peer", "approve", "1").code == 0
    assert "covered by peer 1, expired" in hub("stranger", "list").out
    assert hub("stranger", "sign-off", "203.0.113.9", *at, "--reason", "Gone").code == 0
    for shown in (hub("stranger", "list", "--all"), hub("stranger", "show", "203.0.113.9")):
        assert "covered by peer 1, expired" in shown.out
        assert "signed off by admin: Gone" in shown.out


def test_a_dry_run_says_which_strangers_are_let_in_or_cut_off(hub: Peergate) -> None:
    dry = hub("gateway", "set", "hub", "--mode", "enforce", "--dry-run").out.splitlines()
    assert [line.partition("; ")[0].partition(", last")[0] for line in dry] == [
        "cuts off stranger 2001:db8::9 at hub: udp/51820",
        "cuts off stranger 203.0.113.9 at hub: udp/51820",
        "gateway hub would be changed, mode enforce: nothing was changed (dry run)",
    ]
    command = ("stranger", "register", "203.0.113.9", "--gateway", "hub", "--purpose", "A tunnel")
    who = ("--owner", "Branch networks", "--contact", "netops@example.net")
    assert hub(*command, *who).code == 0
    dry = hub("peer", "approve", "1", "--dry-run").out.splitlines()
    assert [line.partition(", last seen ")[0] for line in dry[:-1]] == [
        "lets in stranger-203.0.113.9 at hub: 203.0.113.9",
        "lets in stranger 203.0.113.9 at hub: udp/500",
        "lets in stranger 203.0.113.9 at hub: udp/51820",
    ]
    assert dry[1].endswith(", as stranger-203.0.113.9")
