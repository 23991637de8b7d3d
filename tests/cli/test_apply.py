"""peergate apply: a policy file becomes the registry's content, whole or not at all."""

import re
from pathlib import Path

import pytest

import cli.apply
import cli.gateways
from tests.cli.conftest import Peergate

POLICY = """\
gateways:
  - name: hub
    addresses: [198.51.100.1, "2001:db8::1"]
    services: [wireguard, ipsec]
    mode: enforce
peers:
  - name: branch-7
    gateway: hub
    owner: Branch networks
    contact: netops@example.net
    purpose: Site-to-site tunnel of branch 7
    sources: [203.0.113.7, 203.0.113.64/27]
    valid_until: 2099-01-31T00:00:00Z
  - name: branch-8
    gateway: hub
    owner: Branch networks
    contact: netops@example.net
    purpose: Site-to-site tunnel of branch 8
    sources: [203.0.113.8]
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return file


def test_a_dry_run_shows_and_changes_nothing(peergate: Peergate, policy: Path) -> None:
    shown = peergate("apply", "-f", policy, "--dry-run")
    assert shown.code == 0
    assert "+ add gateway hub\n" in shown.out
    assert "    + services: wireguard, ipsec\n" in shown.out
    assert "+ add peer branch-7 at hub\n" in shown.out
    assert "3 added: nothing was changed (dry run)" in shown.out
    assert peergate("gateway", "list", "--json").json == []


def test_what_was_applied_is_there_and_a_second_time_there_is_nothing_to_do(
    peergate: Peergate, policy: Path
) -> None:
    applied = peergate("apply", "-f", policy)
    assert applied.code == 0
    assert "3 added: applied, revision " in applied.out
    states = {peer["name"]: peer["state"] for peer in peergate("peer", "list", "--json").json}
    assert states == {"branch-7": "active", "branch-8": "active"}
    revision = peergate("status", "--json").json["registry"]["revision"]

    again = peergate("apply", "-f", policy)
    assert again.code == 0
    assert again.out == f"nothing to do: the registry matches, revision {revision}\n"
    document = peergate("apply", "-f", policy, "--json").json
    assert (document["changes"], document["revision"]) == ([], revision)


def test_differences_are_shown_field_by_field(peergate: Peergate, policy: Path) -> None:
    assert peergate("apply", "-f", policy).code == 0
    changed = POLICY.replace("203.0.113.64/27", "203.0.113.96/27").replace("mode: enforce", "")
    policy.write_text(changed[: changed.index("  - name: branch-8")])
    shown = peergate("apply", "-f", policy)
    assert shown.code == 0
    assert shown.out.splitlines()[:-1] == [
        "~ change gateway hub",
        "    - mode: enforce",
        "    + mode: monitor",
        "~ change peer branch-7 at hub",
        "    - sources: 203.0.113.64/27",
        "    + sources: 203.0.113.96/27",
        "- revoke peer branch-8 at hub",
    ]
    assert shown.out.splitlines()[-1].startswith("2 changed, 1 revoked: applied, revision ")


def test_the_policy_comes_from_stdin_too(peergate: Peergate) -> None:
    applied = peergate("apply", "-f", "-", "--json", stdin=POLICY.encode())
    assert applied.code == 0
    assert {(each["action"], each["name"]) for each in applied.json["changes"]} == {
        ("add", "hub"),
        ("add", "branch-7"),
        ("add", "branch-8"),
    }
    assert applied.json["dry_run"] is False
    refused = peergate("apply", "-f", "-", stdin=b"\xff\xfe")
    assert refused.code == 1
    assert refused.err == "peergate: stdin: not a text file in UTF-8\n"


def test_what_a_service_shares_is_warned_of_on_stderr(peergate: Peergate, policy: Path) -> None:
    policy.write_text(POLICY.replace("ipsec]", "tcp/22]"))
    applied = peergate("apply", "-f", policy, "--json")
    assert applied.code == 0
    assert applied.json["changes"]
    assert "warning: hub: tcp/22: " in applied.err


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody at the terminal, who says no; the questions that they were asked."""
    questions: list[str] = []

    def no(question: str) -> bool:
        questions.append(question)
        return False

    for module in (cli.apply, cli.gateways):
        monkeypatch.setattr(module, "interactive", lambda: True)
        monkeypatch.setattr(module, "ask", no)
    return questions


def test_on_a_terminal_it_asks_before_it_revokes(
    peergate: Peergate, policy: Path, asked: list[str]
) -> None:
    assert peergate("apply", "-f", policy).code == 0
    assert asked == []
    policy.write_text(POLICY[: POLICY.index("  - name: branch-8")])
    refused = peergate("apply", "-f", policy)
    assert (refused.code, refused.err) == (1, "peergate: nothing was changed\n")
    assert asked == ["This removes or revokes 1 gateway or peer. Apply?"]
    assert peergate("peer", "show", "branch-8", "--json").json["state"] == "active"
    assert peergate("apply", "-f", policy, "--dry-run").code == 0
    assert peergate("apply", "-f", policy, "--yes").code == 0
    assert len(asked) == 1
    assert peergate("peer", "show", "branch-8", "--json").json["state"] == "revoked"


def test_on_a_terminal_it_asks_before_it_removes_a_gateway(
    peergate: Peergate, asked: list[str]
) -> None:
    add = ("gateway", "add", "hub", "--address", "198.51.100.1", "--service", "gre")
    assert peergate(*add).code == 0
    assert peergate("gateway", "remove", "hub").code == 1
    assert asked == ["Remove gateway hub?"]
    assert peergate("gateway", "remove", "hub", "--yes").code == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("203.0.113.7,", "203.0.113.300,", r"peers\[0\].sources\[0\]: 203.0.113.300: not an IPv4"),
        (
            "203.0.113.64/27",
            "203.0.113.65/27",
            r"peers\[0\].sources\[1\]: 203.0.113.65/27: host bits are set: "
            r"did you mean 203.0.113.64/27\?",
        ),
        ("ipsec]", "ipsecc]", r"gateways\[0\].services\[1\]: ipsecc: a service is one of"),
        ("198.51.100.1,", "198.51.0.0/16,", r"gateways\[0\].addresses\[0\]: .*at most 256"),
        ("203.0.113.8]", "202.0.0.0/7]", r"peers\[1\].sources\[0\]: .*: an IPv4 source is /8"),
        ("203.0.113.8]", '"2000::/15"]', r"peers\[1\].sources\[0\]: .*: an IPv6 source is /16"),
        ("ipsec]", "proto/58]", r"gateways\[0\].services\[1\]: proto/58: .*belongs to IP itself"),
        (
            "peers:",
            "  - {name: other, addresses: [198.51.100.1], services: [udp/500]}\npeers:",
            r"gateways\[1\].services: udp/500 at 198.51.100.1: gateway hub has this",
        ),
        (
            "valid_until: 2099-01-31T00:00:00Z",
            "valid_from: 2027-01-01T00:00:00Z\n    valid_until: 2026-01-01T00:00:00Z",
            r"peers\[0\].*: the window ends before it starts",
        ),
        ("mode: enforce", "mod: enforce", r"gateways\[0\].mod: enforce: unknown field"),
        ("gateway: hub", "gateway: hob", r"peers\[0\].gateway: hob: no gateway has this name"),
        ("gateways:", "gateways: {", r"not a YAML document"),
    ],
)
@pytest.mark.parametrize("command", ["apply", "replay"])
def test_a_bad_policy_is_refused_with_field_value_and_rule(
    offline_peergate: Peergate, policy: Path, command: str, old: str, new: str, said: str
) -> None:
    """Before the registry is asked: there is none."""
    assert old in POLICY
    policy.write_text(POLICY.replace(old, new))
    arguments = (
        ("apply", "-f", policy)
        if command == "apply"
        else (*("replay", policy.with_name("none.pcap"), "--policy", policy),)
    )
    refused = offline_peergate(*arguments)
    assert refused.code == 1
    assert refused.out == ""
    assert re.search(said, refused.err), refused.err
    assert refused.err.startswith(f"peergate: {policy}: ")


def test_all_problems_are_told_at_once(offline_peergate: Peergate, policy: Path) -> None:
    policy.write_text(POLICY.replace("ipsec]", "foo]").replace("203.0.113.8]", "banana]"))
    refused = offline_peergate("apply", "-f", policy)
    lines = refused.err.splitlines()
    assert lines[0] == f"peergate: {policy}: 2 problems"
    assert lines[1].startswith(f"  line {line_of('foo', policy)}: gateways[0].services[1]: foo: ")
    assert lines[2].startswith(f"  line {line_of('banana', policy)}: peers[1].sources[0]: banana: ")


def line_of(word: str, policy: Path) -> int:
    (line,) = (n for n, text in enumerate(policy.read_text().splitlines(), 1) if word in text)
    return line


def test_what_the_registry_says_is_told_by_line_too(peergate: Peergate, policy: Path) -> None:
    """Its rules are known to it alone."""
    assert peergate("rules", "set", "--longest-days", "30").code == 0
    refused = peergate("apply", "-f", policy)
    assert refused.code == 1
    until = line_of("valid_until: 2099", policy)
    assert f"  line {until}: peers[0].valid_until: 2099-01-31T00:00:00Z: a reg" in refused.err
    # Where the field is not there, the line is the peer's.
    without = line_of("- name: branch-8", policy)
    assert f"  line {without}: peers[1].valid_until: none: a registration lasts" in refused.err


def test_a_policy_that_is_not_there(offline_peergate: Peergate) -> None:
    refused = offline_peergate("apply", "-f", "nowhere.yaml")
    assert refused.code == 1
    assert refused.err == "peergate: nowhere.yaml: No such file or directory\n"


def test_a_large_policy_is_sent_as_lines(
    peergate: Peergate, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.policy_lines.LARGE", 0)
    dry = peergate("apply", "-f", policy, "--dry-run")
    assert dry.out.splitlines() == [
        "lets in branch-7 at hub: 203.0.113.7, 203.0.113.64/27",
        "lets in branch-8 at hub: 203.0.113.8",
        "not known: hub: nobody has seen yet who talks to it",
        "gateways: 1 added; peers: 2 added: nothing was changed (dry run), revision 0",
    ]
    done = peergate("apply", "-f", policy, "--yes")
    assert done.out == "gateways: 1 added; peers: 2 added: applied, revision 1\n"
    again = peergate("apply", "-f", policy, "--json")
    assert again.json["peers"]["unchanged"] == 2
    policy.write_text(POLICY.replace("branch-8", "branch-9"))
    assert "1 added, 1 revoked, 1 unchanged: applied" in peergate("apply", "-f", policy).out


def test_what_is_wrong_in_a_large_policy_is_named_by_its_place(
    peergate: Peergate, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.policy_lines.LARGE", 0)
    policy.write_text(POLICY.replace("203.0.113.8", "203.0.113.8/24").replace("wireguard", "foo"))
    refused = peergate("apply", "-f", policy)
    assert refused.code == 1
    hub = "  line 2: gateways[0]: services[0]: foo: a service is one of"
    assert hub in refused.err
    branch = line_of("- name: branch-8", policy)
    assert f"  line {branch}: peers[1]: sources[0]: 203.0.113.8/24: host bits" in refused.err
    policy.write_text("peers: some")
    assert "a list is wanted here" in peergate("apply", "-f", policy).err


def test_where_the_registry_has_too_many_peers_it_is_sent_as_lines(
    peergate: Peergate, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert peergate("apply", "-f", policy).code == 0
    monkeypatch.setattr("api.registry.policy.MOST", 1)
    policy.write_text(POLICY.partition("  - name: branch-8")[0])
    applied = peergate("apply", "-f", policy, "--yes")
    assert applied.code == 0
    assert "peers: 1 revoked, 1 unchanged: applied" in applied.out
    monkeypatch.setattr("api.registry.policy.MOST", 0)
    refused = peergate("apply", "-f", "-", stdin=POLICY.encode())
    assert refused.code == 1
    assert "more than 0 peers" in refused.err
