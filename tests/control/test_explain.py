"""Explain: a packet is built, judged by the program, and the reasons are told."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from random import Random
from typing import Protocol

import pytest

from control.bench import Bench, offline
from control.explain import Account, account, build
from control.model import Allowlist, Explanation, Gateway, Peer
from control.peers import Peers
from policy.packets import PROTOCOLS, Question
from policy.prefixes import Network
from policy.services import TCP, UDP, Service
from policy.window import Window, to_ns

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WIREGUARD = Service(UDP, 51820)
ALWAYS = Window()


def gateway(name: str, address: str, *services: Service, enforce: Window | None) -> Gateway:
    return Gateway(name, (ip_network(address),), services, enforce)


def peer(number: int, name: str, at: str, *sources: str, valid: Window = ALWAYS) -> Peer:
    prefixes: tuple[Network, ...] = tuple(map(ip_network, sources))
    owner, contact = "Branch networks", "netops@example.net"
    return Peer(number, name, at, owner, contact, "A tunnel", prefixes, valid)


ALLOWLIST = Allowlist(
    registry="test",
    revision=12,
    time=NOW,
    gateways=(
        gateway("hub", "198.51.100.1/32", WIREGUARD, Service(97), enforce=Window()),
        gateway("spoke", "198.51.100.2/32", WIREGUARD, enforce=None),
        gateway("soon", "198.51.100.3/32", WIREGUARD, enforce=Window(NOW + DAY, None)),
        gateway("over", "198.51.100.4/32", WIREGUARD, enforce=Window(None, NOW - DAY)),
        gateway("six", "2001:db8::1/128", WIREGUARD, Service(50), enforce=Window()),
    ),
    peers=(
        peer(1, "branch-7", "hub", "203.0.113.7/32", "203.0.113.64/27"),
        peer(2, "wide", "hub", "203.0.113.0/26", valid=Window(NOW - DAY, NOW + DAY)),
        peer(3, "ended", "hub", "192.0.2.0/28", "203.0.113.9/32", valid=Window(None, NOW)),
        peer(4, "coming", "hub", "192.0.2.64/28", valid=Window(NOW + DAY, None)),
        peer(5, "elsewhere", "spoke", "192.0.2.128/28"),
        peer(6, "six", "six", "2001:db8:7::/48"),
    ),
)


class Told(Protocol):
    def __call__(
        self, source: str, destination: str, port: int | None = 51820, protocol: int = UDP
    ) -> Account: ...


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with offline(ALLOWLIST, NOW) as bench:
        yield bench


@pytest.fixture
def told(bench: Bench) -> Told:
    """The account of one packet."""

    def told(
        source: str, destination: str, port: int | None = 51820, protocol: int = UDP
    ) -> Account:
        sport = None if port is None else 40000
        asked = Question(ip_address(source), ip_address(destination), protocol, sport, port)
        said = bench.judge(build(asked), to_ns(NOW))
        return account(asked, said, bench.gateways, ALLOWLIST, NOW)

    return told


HUB, SPOKE, SOON, OVER = (f"198.51.100.{n}" for n in (1, 2, 3, 4))


def test_a_registered_peer(told: Told) -> None:
    found = told("203.0.113.65", HUB)
    assert (found.said.verdict, found.said.action) == ("registered", "pass")
    assert found.gateway == "hub"
    assert found.revision == 12
    assert found.peer is not None
    assert (found.peer.peer.name, str(found.peer.source)) == ("branch-7", "203.0.113.64/27")
    assert found.nearest is None
    assert found.why == ("203.0.113.64/27 of peer branch-7 (1) at hub is valid",)


def test_where_the_longest_does_not_hold_a_wider_one_does(told: Told) -> None:
    found = told("203.0.113.9", HUB)
    assert found.said.verdict == "registered"
    assert found.peer is not None
    assert found.peer.peer.name == "ended"
    assert found.said.entry is not None
    assert found.said.entry.peer == found.peer.peer.id
    assert found.why == (
        "203.0.113.9/32 of peer ended (3) at hub ended at 2026-11-23T12:00:00Z",
        "203.0.113.0/26 of peer wide (2) at hub is valid until 2026-11-24T12:00:00Z",
    )


def test_one_that_has_expired(told: Told) -> None:
    found = told("192.0.2.1", HUB)
    assert (found.said.verdict, found.said.action) == ("expired", "drop")
    assert found.peer is not None
    assert found.peer.peer.name == "ended"
    assert found.why == (
        "192.0.2.0/28 of peer ended (3) at hub ended at 2026-11-23T12:00:00Z",
        "hub enforces: dropped",
    )


def test_one_that_is_not_yet_valid(told: Told) -> None:
    found = told("192.0.2.65", HUB)
    assert (found.said.verdict, found.said.action) == ("unregistered", "drop")
    assert found.peer is not None
    assert found.peer.peer.name == "coming"
    assert found.why[0] == (
        "192.0.2.64/28 of peer coming (4) at hub is not yet valid: from 2026-11-24T12:00:00Z"
    )


def test_the_same_source_at_another_gateway_comes_nearest(told: Told) -> None:
    found = told("192.0.2.129", HUB)
    assert found.said.verdict == "unregistered"
    assert found.peer is None
    assert found.nearest is not None
    assert found.nearest.peer.name == "elsewhere"
    assert found.why[0] == (
        "nearest: 192.0.2.128/28 of peer elsewhere (5) at spoke is valid, but is not at hub"
    )


def test_else_the_prefix_with_most_in_common_comes_nearest(told: Told) -> None:
    found = told("203.0.113.97", HUB)
    assert found.nearest is not None
    assert str(found.nearest.source) == "203.0.113.64/27"
    assert found.why[0].endswith("branch-7 (1) at hub does not cover 203.0.113.97")
    assert told("203.0.112.1", HUB).nearest is not None


def test_what_has_little_in_common_does_not_come_near(told: Told) -> None:
    found = told("198.51.100.200", HUB)
    assert found.nearest is None
    assert found.why[0] == "no registration at hub comes near 198.51.100.200"


def test_over_ipv6(told: Told) -> None:
    assert told("2001:db8:7::1", "2001:db8::1").said.verdict == "registered"
    found = told("2001:db8:8::1", "2001:db8::1", port=None, protocol=50)
    assert found.said.verdict == "unregistered"
    assert found.nearest is not None
    assert found.nearest.peer.name == "six"


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        (HUB, "hub enforces: dropped"),
        (SPOKE, "spoke monitors: it passes, counted as would drop"),
        (SOON, "soon enforces only from 2026-11-24T12:00:00Z: it passes, counted as would drop"),
        (OVER, "over enforced until 2026-11-22T12:00:00Z: it passes, counted as would drop"),
    ],
)
def test_the_gateways_mode_decides_what_becomes_of_it(
    told: Told, destination: str, reason: str
) -> None:
    found = told("198.51.100.200", destination)
    assert found.why[-1] == reason
    assert found.said.would_drop == (destination != HUB)


def test_what_is_not_the_gateways_business(told: Told) -> None:
    found = told("203.0.113.7", "198.51.100.9")
    assert (found.said.verdict, found.gateway, found.peer) == ("bystander", None, None)
    assert found.why == ("198.51.100.9 is no gateway's address",)
    found = told("203.0.113.7", HUB, port=22, protocol=TCP)
    assert (found.said.verdict, found.gateway, found.peer) == ("unprotected", "hub", None)
    assert found.why == (
        "tcp/22 is none of the services at 198.51.100.1: hub (udp/51820, proto/97)",
    )


@pytest.mark.parametrize("destination", [HUB, "2001:db8::1"])
def test_every_protocol_can_be_asked_about(bench: Bench, destination: str) -> None:
    """None is malformed: what we build is whole, also where a protocol is an extension header."""
    source = "203.0.113.7" if destination == HUB else "2001:db8:7::1"
    judged: dict[int, str] = {}
    for protocol in range(256):
        port = 9 if protocol in (TCP, UDP) else None
        asked = Question(ip_address(source), ip_address(destination), protocol, port, port)
        judged[protocol] = bench.judge(build(asked), to_ns(NOW)).verdict
    own = 97 if destination == HUB else 50
    assert {protocol for protocol, word in judged.items() if word == "registered"} == {own}
    assert set(judged.values()) == {"registered", "unprotected"}
    assert PROTOCOLS["esp"] == 50


def test_json_is_whole(told: Told) -> None:
    document = told("203.0.113.65", HUB).to_json()
    assert document["packet"] == {
        "src": "203.0.113.65",
        "dst": HUB,
        "proto": 17,
        "sport": 40000,
        "dport": 51820,
    }
    assert (document["verdict"], document["action"], document["would_drop"]) == (
        "registered",
        "pass",
        False,
    )
    assert document["now"] == "2026-11-23T12:00:00Z"
    assert document["peer"] == {
        "id": 1,
        "name": "branch-7",
        "gateway": "hub",
        "owner": "Branch networks",
        "contact": "netops@example.net",
        "purpose": "A tunnel",
        "source": "203.0.113.64/27",
        "valid_from": None,
        "valid_until": None,
        "standing": "is valid",
    }


def test_without_a_snapshot_the_decision_is_told_all_the_same(bench: Bench) -> None:
    asked = Question(ip_address("203.0.113.7"), ip_address(HUB), UDP, 40000, 51820)
    said = bench.judge(build(asked), to_ns(NOW))
    found = account(asked, said, bench.gateways, None, NOW)
    assert (found.said.verdict, found.gateway, found.revision) == ("registered", "hub", None)
    assert found.why == ("peer 1 decided, of which the snapshot on disk knows nothing",)


def test_of_very_many_peers_only_those_near_are_read() -> None:
    """It makes no difference to what is told, whichever they are."""
    chance = Random(6)

    def prefix() -> Network:
        if chance.random() < 0.5:
            number = 0xCB00 << 16 | chance.getrandbits(3) << chance.randint(0, 13)
            return ip_network((number, chance.randint(8, 32)), strict=False)
        number = 0x20010DB8 << 96 | chance.getrandbits(5) << chance.randint(0, 91)
        return ip_network((number, chance.randint(16, 128)), strict=False)

    def some(numbers: range) -> dict[int, Peer]:
        made = {}
        for number in numbers:
            sources = {prefix(): None for _ in range(chance.randint(1, 3))}
            at = chance.choice(("hub", "spoke", "six"))
            made[number] = replace(peer(number, f"p-{number}", at), sources=tuple(sources))
        return made

    stored = Peers.of(tuple(some(range(1, 400)).values()))
    peers = stored.changed({**dict.fromkeys(range(1, 20)), **some(range(390, 420))})
    everybody = tuple(peers)
    sources = [network[0] for each in everybody for network in each.sources]
    sources += [ip_address("198.51.100.1"), ip_address("192.0.2.1"), ip_address("2001:db8::77")]
    for source in sources:
        hub = ip_address(HUB if source.version == 4 else "2001:db8::1")
        asked = Question(source, hub, UDP, 40000, 51820)
        said = Explanation("unregistered", drop=True, gateway=1, entry=None)
        for name in ("hub", "soon"):
            told = [
                account(asked, said, {1: name}, replace(ALLOWLIST, peers=known), NOW).to_json()
                for known in (peers, everybody)
            ]
            assert told[0] == told[1]
