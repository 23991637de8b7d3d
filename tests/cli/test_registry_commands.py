"""Gateways, peers and tokens through the command line, against a real registry."""

from pathlib import Path

import pytest

from tests.cli.conftest import Outcome, Peergate, Running

HUB = ("gateway", "add", "hub", "--address", "198.51.100.1", "--service", "wireguard")
PEER = ("--owner", "Branch networks", "--contact", "netops@example.net", "--purpose", "A tunnel")


def add_peer(peergate: Peergate, name: str, *more: str, gateway: str = "hub") -> Outcome:
    source = ("--source", "203.0.113.7")
    return peergate("peer", "add", name, "--gateway", gateway, *source, *PEER, *more)


def test_a_gateway_from_its_first_day_to_its_last(peergate: Peergate) -> None:
    added = peergate(*HUB, "--address", "2001:db8::1", "--mode", "enforce")
    assert (added.code, added.out) == (0, "gateway hub added, mode enforce\n")
    (listed,) = peergate("gateway", "list", "--json").json
    assert listed["addresses"] == ["198.51.100.1", "2001:db8::1"]
    assert listed["services"] == ["wireguard"]

    until = "2027-01-01T00:00:00Z"
    changed = peergate("gateway", "set", "hub", "--enforce-until", until, "--service", "ipsec")
    assert changed.code == 0
    shown = peergate("gateway", "show", "hub", "--json").json
    assert (shown["enforce_until"], shown["services"]) == (until, ["ipsec"])
    assert peergate("gateway", "set", "hub", "--enforce-until", "none").code == 0
    assert peergate("gateway", "show", "hub", "--json").json["enforce_until"] is None
    # The window goes with the mode.
    assert peergate("gateway", "set", "hub", "--enforce-until", until).code == 0
    assert peergate("gateway", "set", "hub", "--mode", "monitor").code == 0

    removed = peergate("gateway", "remove", "hub")
    assert (removed.code, removed.out) == (0, "gateway hub removed\n")
    assert peergate("gateway", "list", "--json").json == []


def test_a_service_that_others_need_too_is_warned_of(peergate: Peergate) -> None:
    added = peergate(*HUB, "--service", "tcp/22", "--service", "sstp", "--json")
    assert added.code == 0
    assert added.json["name"] == "hub"
    assert "warning: hub: tcp/22: SSH" in added.err
    assert "warning: hub: tcp/443: every HTTPS client" in added.err


def test_a_peer_from_its_first_day_to_its_last(peergate: Peergate) -> None:
    assert peergate(*HUB).code == 0
    added = add_peer(peergate, "branch-7", "--valid-until", "2027-01-31T00:00:00Z")
    assert (added.code, added.out) == (0, "peer 1 (branch-7 at hub) registered, now pending\n")
    approved = peergate("peer", "approve", "branch-7")
    assert approved.out == "peer 1 (branch-7 at hub) approved, now active\n"
    renewed = peergate("peer", "renew", "branch-7", "--until", "2028-01-31T00:00:00Z", "--json")
    assert renewed.json["valid_until"] == "2028-01-31T00:00:00Z"
    assert peergate("peer", "renew", "1", "--until", "none", "--json").json["valid_until"] is None
    revoked = peergate("peer", "revoke", "hub/branch-7", "--reason", "Branch closed")
    assert revoked.out == "peer 1 (branch-7 at hub) revoked\n"
    assert peergate("peer", "show", "branch-7", "--json").json["reason"] == "Branch closed"

    again = peergate("peer", "revoke", "branch-7", "--reason", "Branch closed")
    assert again.code == 1
    assert again.err == "peergate: peer 1 is revoked: only one that is approved can be revoked\n"


def test_a_peer_is_rejected_with_a_reason(peergate: Peergate) -> None:
    assert peergate(*HUB).code == 0
    assert add_peer(peergate, "branch-7").code == 0
    rejected = peergate("peer", "reject", "branch-7", "--reason", "Unknown", "--json")
    assert (rejected.json["state"], rejected.json["reason"]) == ("rejected", "Unknown")


def test_a_peer_is_approved_at_once_where_that_is_asked(peergate: Peergate) -> None:
    assert peergate(*HUB).code == 0
    assert add_peer(peergate, "branch-7", "--approve", "--json").json["state"] == "active"


def test_a_registrar_who_may_not_approve_is_told_what_was_done(
    peergate: Peergate, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert peergate(*HUB).code == 0
    token = peergate("token", "add", "a", "--role", "registrar").out.strip()
    monkeypatch.setenv("PEERGATE_TOKEN", token)
    added = add_peer(peergate, "branch-7", "--approve")
    assert added.code == 1
    assert "peer 1 is registered and pending, but not approved: " in added.err


def test_a_name_stands_for_the_one_that_lives(peergate: Peergate) -> None:
    assert peergate(*HUB).code == 0
    assert add_peer(peergate, "branch-7").code == 0
    assert peergate("peer", "reject", "branch-7", "--reason", "Too early").code == 0
    assert add_peer(peergate, "branch-7").code == 0
    assert peergate("peer", "show", "branch-7", "--json").json["id"] == 2
    assert peergate("peer", "reject", "branch-7", "--reason", "Still too early").code == 0
    # Of the dead the newest.
    assert peergate("peer", "show", "branch-7", "--json").json["id"] == 2


def test_a_name_at_two_gateways_has_to_be_told_apart(peergate: Peergate) -> None:
    assert peergate(*HUB).code == 0
    spoke = ("gateway", "add", "spoke", "--address", "198.51.100.2", "--service", "gre")
    assert peergate(*spoke).code == 0
    assert add_peer(peergate, "branch-7").code == 0
    assert add_peer(peergate, "branch-7", gateway="spoke").code == 0
    ambiguous = peergate("peer", "approve", "branch-7")
    assert ambiguous.code == 1
    assert "say one of hub/branch-7, spoke/branch-7" in ambiguous.err
    assert peergate("peer", "approve", "spoke/branch-7").code == 0
    states = {peer["gateway"]: peer["state"] for peer in peergate("peer", "list", "--json").json}
    assert states == {"hub": "pending", "spoke": "active"}


def test_peers_are_listed_by_gateway_and_state(peergate: Peergate) -> None:
    assert peergate(*HUB).code == 0
    for number in range(3):
        assert add_peer(peergate, f"branch-{number}").code == 0
    assert peergate("peer", "approve", "branch-1").code == 0

    def names(*filters: str) -> list[str]:
        return [peer["name"] for peer in peergate("peer", "list", *filters, "--json").json]

    assert names() == ["branch-0", "branch-1", "branch-2"]
    assert names("--state", "pending") == ["branch-0", "branch-2"]
    assert names("--state", "active", "--gateway", "hub") == ["branch-1"]
    assert names("--gateway", "elsewhere") == []
    table = peergate("peer", "list").out
    assert "branch-0" in table
    assert "Branch networks" in table


def test_a_long_list_comes_page_by_page(
    peergate: Peergate, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert peergate(*HUB).code == 0
    for number in range(5):
        assert add_peer(peergate, f"branch-{number}").code == 0
    monkeypatch.setattr("cli.client._PAGE", 2)
    assert [peer["id"] for peer in peergate("peer", "list", "--json").json] == [1, 2, 3, 4, 5]
    assert peergate("peer", "show", "branch-4", "--json").json["id"] == 5


def test_tokens_are_made_once_and_taken_back(
    peergate: Peergate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = peergate("token", "add", "alice", "--role", "viewer")
    assert made.code == 0
    file = tmp_path / "token"
    file.write_text(made.out)
    (_, alice) = peergate("token", "list", "--json").json
    assert (alice["name"], alice["role"]) == ("alice", "viewer")
    assert made.out.strip() not in peergate("token", "list").out

    monkeypatch.delenv("PEERGATE_TOKEN")
    assert peergate("peer", "list", "--token-file", file).code == 0
    refused = peergate(*HUB, "--token-file", file)
    assert refused.code == 1
    assert refused.err.count("\n") == 1


def test_a_token_that_is_taken_back_is_refused(
    peergate: Peergate, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = peergate("token", "add", "alice", "--role", "viewer", "--json").json
    assert peergate("token", "remove", str(made["id"])).code == 0
    monkeypatch.setenv("PEERGATE_TOKEN", made["token"])
    refused = peergate("peer", "list")
    assert refused.code == 1
    assert refused.err == (
        "peergate: this token is unknown, revoked or expired: "
        "set PEERGATE_TOKEN, or give --token-file\n"
    )


def test_a_refusal_names_every_field_with_value_and_rule(peergate: Peergate) -> None:
    assert peergate(*HUB).code == 0
    refused = peergate(
        *("gateway", "add", "other", "--address", "198.51.100.1/24", "--service", "foo")
    )
    assert refused.code == 1
    lines = refused.err.splitlines()
    assert len(lines) == 3
    assert "addresses[0]: 198.51.100.1/24: host bits are set" in lines[1]
    assert "services[0]: foo: a service is one of" in lines[2]
    # One problem is told in one line.
    clash = peergate(
        "gateway", "add", "other", "--address", "198.51.100.1", "--service", "udp/51820"
    )
    assert clash.code == 1
    assert clash.err.count("\n") == 1
    assert "gateway hub has this (address, service) already" in clash.err
    assert len(peergate("gateway", "list", "--json").json) == 1


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(
    peergate: Peergate, registry: Running
) -> None:
    from cli.client import Registry
    from cli.errors import RegistryError

    assert peergate(*HUB).code == 0
    with Registry(registry.url, registry.token) as client:
        stale = client.get("/v1/policy").etag
        assert peergate("gateway", "set", "hub", "--mode", "enforce").code == 0
        with pytest.raises(RegistryError) as caught:
            client.replace("/v1/policy", {"gateways": [], "peers": []}, stale)
    assert caught.value.status == 412
    assert "somebody changed it in the meantime" in caught.value.message


def test_the_registrys_status(peergate: Peergate, registry: Running) -> None:
    assert peergate(*HUB).code == 0
    status = peergate("status", "--json").json
    assert set(status) == {"registry"}
    assert status["registry"]["url"] == registry.url
    assert status["registry"]["gateways"] == 1
    assert status["registry"]["router_reports"] == []
    shown = peergate("status").out
    assert registry.url in shown


def test_names_that_are_commands_to_a_terminal_or_a_path_are_harmless(peergate: Peergate) -> None:
    shown = peergate("gateway", "show", "../../v1/peers")
    assert shown.code == 1
    assert "\x1b" not in peergate("gateway", "show", "\x1b]0;owned\x07").err


def test_peers_are_searched_and_sorted(peergate: Peergate) -> None:
    assert peergate(*HUB).code == 0
    for number in range(3):
        assert add_peer(peergate, f"branch-{number}").code == 0
    moved = peergate("peer", "add", "lab", "--gateway", "hub", "--source", "192.0.2.0/28", *PEER)
    assert moved.code == 0

    def names(*options: str) -> list[str]:
        return [peer["name"] for peer in peergate("peer", "list", *options, "--json").json]

    assert names("--source", "192.0.2.7") == ["lab"]
    assert names("--name-prefix", "branch", "--sort=-name") == ["branch-2", "branch-1", "branch-0"]
    assert names("--sort=-id", "--limit", "2") == ["lab", "branch-2"]
    assert names("--owner", "Nobody") == []
    refused = peergate("peer", "list", "--source", "nowhere")
    assert (refused.code, "source: nowhere: must be an IPv4" in refused.err) == (1, True)
