"""policy.yaml: what is accepted, and what is refused with field, value and rule."""

import json
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from textwrap import dedent

import pytest

from policy.document import Policy
from policy.errors import PolicyError
from policy.file import load_policy, parse_policy
from policy.services import Service
from policy.window import Window

SCHEMA = Path(__file__).parents[2] / "docs" / "policy.schema.json"

EXAMPLE = """
gateways:
  - name: hub
    addresses: [198.51.100.1, "2001:db8::1"]
    services: [wireguard, ipsec, "udp/4433", "proto/97"]
    mode: enforce
    enforce_from: 2026-12-01T00:00:00Z
peers:
  - name: branch-7
    gateway: hub
    owner: Branch networks
    contact: netops@example.net
    purpose: Site-to-site tunnel of branch 7
    sources: [203.0.113.7, 203.0.113.64/27, "2001:db8:7::/48"]
    valid_from: 2026-01-01T00:00:00Z
    valid_until: 2027-01-31T00:00:00+01:00
"""


def gateway(**fields: str) -> str:
    """A policy of one gateway, with YAML given for some of its fields."""
    values = {"name": "hub", "addresses": "[198.51.100.1]", "services": "[gre]"} | fields
    return "gateways: [{" + ", ".join(f"{key}: {value}" for key, value in values.items()) + "}]"


def peer(**fields: str) -> str:
    """A policy of one gateway and one peer, with YAML given for some of the peer's fields."""
    values = {
        "name": "branch-7",
        "gateway": "hub",
        "owner": "Netops",
        "contact": "netops@example.net",
        "purpose": "Tunnel",
        "sources": "[203.0.113.7]",
    } | fields
    inside = ", ".join(f"{key}: {value}" for key, value in values.items())
    return f"{gateway()}\npeers: [{{{inside}}}]"


def test_the_documented_example_means_what_it_says() -> None:
    policy = parse_policy(EXAMPLE)
    (hub,), (branch,) = policy.gateways, policy.peers
    assert hub.hosts == (ip_address("198.51.100.1"), ip_address("2001:db8::1"))
    assert hub.offered == tuple(
        Service(*each)
        for each in [(17, 51820), (17, 500), (17, 4500), (50,), (51,), (17, 4433), (97,)]
    )
    assert hub.enforcement == Window(datetime(2026, 12, 1, tzinfo=UTC), None)
    assert [str(source) for source in branch.sources] == [
        "203.0.113.7/32",
        "203.0.113.64/27",
        "2001:db8:7::/48",
    ]
    assert branch.validity.end == datetime(2027, 1, 30, 23, tzinfo=UTC)


def test_a_policy_survives_json() -> None:
    policy = parse_policy(EXAMPLE)
    assert Policy.model_validate_json(policy.model_dump_json()) == policy


def test_mode_is_monitor_unless_said() -> None:
    assert parse_policy(gateway()).gateways[0].enforcement is None


@pytest.mark.parametrize("text", ["", "{}", "gateways: []\npeers: []", "gateways:\npeers:\n"])
def test_an_empty_policy_is_a_policy(text: str) -> None:
    assert parse_policy(text) == Policy()


@pytest.mark.parametrize(
    ("text", "field", "value", "rule"),
    [
        (peer(sources="[203.0.113.300]"), "peers[0].sources[0]", "203.0.113.300", "not an IPv4"),
        (peer(sources="[203.0.113.7/24]"), "peers[0].sources[0]", "203.0.113.7/24", "host bits"),
        (peer(sources="[10.0.0.0/7]"), "peers[0].sources[0]", "10.0.0.0/7", "/8 to /32"),
        (peer(sources="['2000::/15']"), "peers[0].sources[0]", "2000::/15", "/16 to /128"),
        (peer(sources="['::ffff:192.0.2.1']"), "peers[0].sources[0]", "::ffff:192.0.2.1", "mapped"),
        (peer(sources="[]"), "peers[0].sources", "", "at least one"),
        (peer(sources="[3405803783]"), "peers[0].sources[0]", "3405803783", "must be text"),
        (peer(gateway="hbu"), "peers[0].gateway", "hbu", "there are: hub"),
        (peer(contact="nobody"), "peers[0].contact", "nobody", "mail address"),
        (peer(purpose='"a\\u202Eb"'), "peers[0].purpose", "a\u202eb", "control"),
        (peer(owner='""'), "peers[0].owner", "", "at least 1"),
        (peer(name="a/b"), "peers[0].name", "a/b", "letters, digits"),
        (peer(colour="red"), "peers[0].colour", "red", "unknown field"),
        (peer(sources="['::/0']"), "peers[0].sources[0]", "::/0", "/16 to /128"),
        (peer(valid_from="2026-01-01"), "peers[0].valid_from", "2026-01-01", "zone"),
        (peer(valid_from="'1767225600'"), "peers[0].valid_from", "1767225600", "zone"),
        (
            peer(valid_from="2026-01-01T00:00:00"),
            "peers[0].valid_from",
            "2026-01-01 00:00:00",
            "zone",
        ),
        (
            peer(valid_from="2026-01-02T00:00:00Z", valid_until="2026-01-02T00:00:00Z"),
            "peers[0].valid_until",
            "2026-01-02T00:00:00+00:00",
            "ends before it starts",
        ),
        (gateway(services="[wiregard]"), "gateways[0].services[0]", "wiregard", "a service is one"),
        (gateway(services="[proto/6]"), "gateways[0].services[0]", "proto/6", "tcp/N"),
        (gateway(services="[proto/58]"), "gateways[0].services[0]", "proto/58", "IP itself"),
        (gateway(services="[udp/0]"), "gateways[0].services[0]", "udp/0", "1 to 65535"),
        (gateway(services="[proto/256]"), "gateways[0].services[0]", "proto/256", "0 to 255"),
        (
            gateway(addresses="[198.51.100.0/23]"),
            "gateways[0].addresses[0]",
            "198.51.100.0/23",
            "at most 256",
        ),
        (
            gateway(addresses="['2001:db8::/119']"),
            "gateways[0].addresses[0]",
            "2001:db8::/119",
            "at most 256",
        ),
        (
            gateway(addresses="[198.51.100.0/24, 203.0.113.1]"),
            "gateways[0].addresses",
            "257 addresses",
            "at most 256",
        ),
        (gateway(addresses="[224.0.0.1]"), "gateways[0].addresses[0]", "224.0.0.1", "unicast"),
        (gateway(mode="block"), "gateways[0].mode", "block", "monitor"),
        (
            gateway(enforce_from="2026-01-01T00:00:00Z"),
            "gateways[0].mode",
            "monitor",
            "need mode: enforce",
        ),
        ("peer: []", "peer", "", "unknown field"),
        ("gateways: 3", "gateways", "3", "tuple"),
        ("[1, 2]", "", "", "mapping"),
        ("gateways: [", "line 2", "", "YAML"),
        ("gateways: []\ngateways: []", "line 2", "", "stands twice"),
        ("a: &x [1]\nb: [*x, *x]", "line 2", "", "aliases"),
        ("? [a]\n: b", "line 1", "", "a key is"),
        ('gateways: !!int ""', "line 1", "", "tags"),
        ("gateways: !!timestamp x", "line 1", "", "tags"),
        ("gateways: !!set {a, b}", "line 1", "", "tags"),
        (f"gateways: 0x{'f' * 5000}", "gateways", "a number of 20000 bits", "tuple"),
    ],
)
def test_refused_with_field_value_and_rule(text: str, field: str, value: str, rule: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text)
    (problem,) = caught.value.problems
    assert problem.field.startswith(field)
    assert problem.value == value
    assert rule in problem.rule


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(peer(sources="[10.0.0.0/7, 203.0.113.7/24]", contact="x"))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("refused", [0, 1, 2, 6, 17, 43, 44, 58, 59, 60, 135, 139, 140])
def test_protocols_of_ip_itself_are_no_services(refused: int) -> None:
    with pytest.raises(PolicyError):
        parse_policy(gateway(services=f"[proto/{refused}]"))


def test_two_gateways_may_share_an_address_but_not_a_service() -> None:
    shared = """
    gateways:
      - {name: a, addresses: [198.51.100.0/28], services: [wireguard]}
      - {name: b, addresses: [198.51.100.3], services: [%s]}
    """
    parse_policy(dedent(shared % "ipsec"))
    with pytest.raises(PolicyError, match=r"udp/51820 at 198.51.100.3: gateway a has this"):
        parse_policy(dedent(shared % "udp/51820"))


def test_an_address_inside_a_block_counts_once() -> None:
    (hub,) = parse_policy(gateway(addresses="[198.51.100.0/24, 198.51.100.7]")).gateways
    assert len(hub.hosts) == 256


def test_sixteen_services_per_address_counted_over_gateways() -> None:
    def policy(ports: int) -> str:
        text = ", ".join(f"udp/{port}" for port in range(1, 9))
        more = ", ".join(f"tcp/{port}" for port in range(1, ports + 1))
        return (
            f"gateways: [{{name: a, addresses: [198.51.100.1], services: [{text}]}}, "
            f"{{name: b, addresses: [198.51.100.1], services: [{more}]}}]"
        )

    parse_policy(policy(8))
    with pytest.raises(PolicyError, match="at most 16 services"):
        parse_policy(policy(9))


def test_a_router_carries_4096_addresses() -> None:
    def policy(blocks: int) -> str:
        gateways = (
            f"{{name: g{n}, addresses: [198.18.{n}.0/24], services: [gre]}}" for n in range(blocks)
        )
        return f"gateways: [{', '.join(gateways)}]"

    parse_policy(policy(16))
    with pytest.raises(PolicyError, match="at most 4096 gateway addresses"):
        parse_policy(policy(17))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"absent.yaml: No such file"):
        load_policy(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicyError, match=r"binary.yaml: not a text file"):
        load_policy(tmp_path / "binary.yaml")


def test_the_published_schema_is_the_models() -> None:
    """Write it anew with: python -m tests.policy.test_document."""
    assert json.loads(SCHEMA.read_text()) == Policy.model_json_schema()


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(Policy.model_json_schema(), indent=2) + "\n")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("    contact: netops@example.net", "    contact: nobody", 12),
        ("    contact: netops@example.net\n", "", 9),
        ("wireguard, ipsec", "wireguard, foo", 5),
    ],
)
def test_what_is_wrong_has_its_line(old: str, new: str, line: int) -> None:
    """That of the field, or of what it is missing in."""
    with pytest.raises(PolicyError) as refused:
        parse_policy(EXAMPLE.replace(old, new))
    (problem,) = refused.value.problems
    assert problem.line == line
    assert str(problem).startswith(f"line {line}: {problem.field}: ")
