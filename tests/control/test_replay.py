"""Replay: every verdict from a capture, through the compiled program."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.ipsec import ESP
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap, wrpcapng

from control.bench import Bench, offline
from control.capture import Frame, frames
from control.comparison import Comparison, Says
from control.flows import flow
from control.model import Allowlist, Gateway, Peer
from control.peers import Names
from control.replay import Judgement, Summary, judgement, replay
from policy.services import Service
from policy.window import Window, to_ns

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ALWAYS = Window()
HUB = Gateway(
    name="hub",
    addresses=(ip_network("198.51.100.1/32"), ip_network("2001:db8::1/128")),
    services=(Service(17, 51820), Service(97)),
    enforce=Window(),
)
SPOKE = Gateway("spoke", (ip_network("198.51.100.2/32"),), (Service(17, 51820),), enforce=None)


def peer(number: int, name: str, source: str, gateway: str = "hub", valid: Window = ALWAYS) -> Peer:
    return Peer(
        id=number,
        name=name,
        gateway=gateway,
        owner="Branch networks",
        contact="netops@example.net",
        purpose="A tunnel",
        sources=(ip_network(source),),
        valid=valid,
    )


ALLOWLIST = Allowlist(
    registry="test",
    revision=1,
    time=NOW,
    gateways=(HUB, SPOKE),
    peers=(
        peer(1, "branch-7", "203.0.113.7/32"),
        peer(2, "branch-8", "203.0.113.64/27", valid=Window(None, NOW)),
        peer(3, "branch-9", "203.0.113.9/32", valid=Window(NOW + DAY, None)),
        peer(4, "branch-10", "2001:db8:7::/48"),
        peer(5, "branch-11", "203.0.113.7/32", gateway="spoke"),
    ),
)


def ether() -> Packet:
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def tunnel(source: str, destination: str = "198.51.100.1", port: int = 51820) -> Packet:
    ip = IPv6 if ":" in source else IP
    return ether() / ip(src=source, dst=destination) / UDP(sport=1024, dport=port) / Raw(b"x" * 32)


def judge_all(bench: Bench, data: Iterable[bytes], now: datetime = NOW) -> list[Judgement]:
    read = (Frame(number, each, truncated=False) for number, each in enumerate(data, 1))
    peers = {each.id: each.name for each in ALLOWLIST.peers}
    return list(replay(read, bench.judge, to_ns(now), bench.gateways, peers))


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with offline(ALLOWLIST, NOW) as bench:
        yield bench


CASES = [
    ("a registered peer", tunnel("203.0.113.7"), "registered", "pass", "hub", "branch-7"),
    ("over IPv6", tunnel("2001:db8:7::1", "2001:db8::1"), "registered", "pass", "hub", "branch-10"),
    ("a stranger", tunnel("192.0.2.1"), "unregistered", "drop", "hub", None),
    ("one that ended now", tunnel("203.0.113.65"), "expired", "drop", "hub", "branch-8"),
    ("one before its time", tunnel("203.0.113.9"), "unregistered", "drop", "hub", "branch-9"),
    ("another port", tunnel("192.0.2.1", port=53), "unprotected", "pass", "hub", None),
    (
        "a ping",
        ether() / IP(src="192.0.2.1", dst="198.51.100.1") / ICMP(),
        "unprotected",
        "pass",
        "hub",
        None,
    ),
    ("a bystander", tunnel("203.0.113.7", "198.51.100.9"), "bystander", "pass", None, None),
    ("no IP", ether() / ARP(), "other", "pass", None, None),
    (
        "a header cut off",
        ether() / IP(src="203.0.113.7", dst="198.51.100.1", proto=17) / Raw(b"xy"),
        "malformed",
        "drop",
        "hub",
        None,
    ),
    (
        "a stranger, monitored",
        tunnel("192.0.2.1", "198.51.100.2"),
        "unregistered",
        "pass",
        "spoke",
        None,
    ),
    (
        "a peer, monitored",
        tunnel("203.0.113.7", "198.51.100.2"),
        "registered",
        "pass",
        "spoke",
        "branch-11",
    ),
]


@pytest.mark.parametrize("suffix", ["pcap", "pcapng"])
def test_every_verdict_out_of_a_capture(bench: Bench, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"all.{suffix}"
    packets = [packet for _, packet, *_ in CASES]
    (wrpcap if suffix == "pcap" else wrpcapng)(str(file), packets)
    with file.open("rb") as stream:
        found = judge_all(bench, (frame.data for frame in frames(stream)))
    assert [(j.packet, j.verdict, j.action, j.gateway, j.peer) for j in found] == [
        (number, *expected) for number, (_, _, *expected) in enumerate(CASES, 1)
    ]
    would_drop = [case[0] for case, said in zip(CASES, found, strict=True) if said.would_drop]
    assert would_drop == ["a stranger, monitored"]


def test_a_frame_that_the_kernel_does_not_run_is_other(bench: Bench) -> None:
    whole = bytes(tunnel("192.0.2.1"))
    assert [said.verdict for said in judge_all(bench, [b"", whole[:13], whole[:14], whole])] == [
        "other",
        "other",
        "other",
        "unregistered",
    ]


def test_a_jumbo_frame_is_judged_by_its_first_bytes(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "jumbo.pcap"
    wrpcap(str(file), [tunnel("192.0.2.1") / Raw(b"x" * 8900)])
    with file.open("rb") as stream:
        (said,) = judge_all(bench, (frame.data for frame in frames(stream)))
    assert said.verdict == "unregistered"


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOW - timedelta(microseconds=1), ["registered", "unregistered"]),
        (NOW, ["expired", "unregistered"]),
        (NOW + DAY, ["expired", "registered"]),
    ],
)
def test_the_moment_decides(bench: Bench, now: datetime, expected: list[str]) -> None:
    """Windows are half-open."""
    ended, coming = bytes(tunnel("203.0.113.65")), bytes(tunnel("203.0.113.9"))
    assert [said.verdict for said in judge_all(bench, [ended, coming], now)] == expected


def test_json_has_exactly_these_keys(bench: Bench) -> None:
    (said,) = judge_all(bench, [bytes(tunnel("203.0.113.7"))])
    plain = {
        "packet": 1,
        "verdict": "registered",
        "action": "pass",
        "would_drop": False,
        "gateway": "hub",
        "peer": "branch-7",
    }
    assert said.to_json() == plain
    assert list(said.to_json()) == list(plain)
    assert replace(said, truncated=True).to_json() == {**plain, "truncated": True}


def test_the_summary_counts_and_keeps_the_first_drops(bench: Bench) -> None:
    summary = Summary(shown_drops=2)
    for said in judge_all(bench, (bytes(packet) for _, packet, *_ in CASES)):
        summary.add(said)
    assert summary.packets == len(CASES) == sum(summary.counts.values())
    assert summary.counts["hub", "unregistered", "drop", False] == 2
    assert summary.counts["spoke", "unregistered", "pass", True] == 1
    assert [said.packet for said in summary.drops] == [3, 4]


PROPOSED = replace(
    ALLOWLIST,
    gateways=(HUB, replace(SPOKE, enforce=Window())),
    peers=(
        peer(1, "branch-7b", "203.0.113.7/32"),
        peer(2, "branch-8", "203.0.113.64/27"),
        peer(5, "branch-11", "203.0.113.7/32", gateway="spoke"),
    ),
)


def test_two_allowlists_are_compared_by_flow(bench: Bench) -> None:
    vlan = Ether() / Dot1Q(vlan=7) / IPv6(src="2001:db8:7::1", dst="2001:db8::1")
    chain = IPv6ExtHdrDestOpt() / UDP(sport=9, dport=51820)
    packets = [
        *(packet for _, packet, *_ in CASES),
        vlan / chain,
        *[tunnel("203.0.113.65")] * 2,
        tunnel("2001:db8:7::1", "2001:db8::1"),
    ]
    read = [Frame(n, bytes(packet), truncated=False) for n, packet in enumerate(packets, 1)]
    found = Comparison()
    with offline(PROPOSED, NOW) as other:

        def says(bench: Bench, allowlist: Allowlist) -> Says:
            names = Names(allowlist.peers)
            return lambda frame: judgement(frame, bench.judge, to_ns(NOW), bench.gateways, names)

        found.run(read, says(bench, ALLOWLIST), says(other, PROPOSED))
    assert found.before.packets == found.after.packets == len(packets)
    changes = [
        (
            str(each.flow.source) if each.flow else None,
            str(each.flow.service) if each.flow else None,
            (each.before.verdict, each.before.action),
            (each.after.verdict, each.after.action),
            count,
        )
        for each, count in found.in_order()
    ]
    registered, unregistered = ("registered", "pass"), ("unregistered", "drop")
    assert changes == [
        # Cut off first, by packets; another peer's name is no difference.
        ("2001:db8:7::1", "udp/51820", registered, unregistered, 3),
        ("192.0.2.1", "udp/51820", ("unregistered", "pass"), unregistered, 1),
        ("203.0.113.65", "udp/51820", ("expired", "drop"), registered, 3),
    ]
    assert found.changed == 7
    assert found.untold == 0


def test_of_very_many_flows_the_first_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control.comparison.MOST_FLOWS", 2)
    found = Comparison()
    was = Judgement(1, "registered", "pass", would_drop=False, gateway="hub", peer="p")
    will = replace(was, verdict="unregistered", action="drop", peer=None)
    for last in (1, 2, 3, 2, 3):
        frame = Frame(1, bytes(tunnel(f"192.0.2.{last}")), truncated=False)
        found.add(frame, was, will)
    found.add(Frame(1, b"", truncated=False), was, was)
    assert [count for _, count in found.in_order()] == [2, 1]
    assert (found.changed, found.untold) == (5, 2)


@pytest.mark.parametrize("cut", [0, 12, 13, 14, 20, 30, 33, 34, 37])
def test_whose_a_frame_is_that_is_cut_off(cut: int) -> None:
    said = flow(bytes(tunnel("192.0.2.1"))[:cut])
    assert (said is None) == (cut < 34)
    assert said is None or said.service == "proto/17"


def test_whose_a_frame_is() -> None:
    hub = {"src": "192.0.2.1", "dst": "198.51.100.1"}
    six = {"src": "2001:db8:7::1", "dst": "2001:db8::1"}
    frames = {
        "udp/51820": Ether() / PPPoE() / PPP() / IP(**hub) / UDP(dport=51820),
        "tcp/443": Ether()
        / Dot1AD()
        / Dot1Q()
        / IP(**hub, options=IPOption_NOP())
        / TCP(dport=443),
        "proto/50": Ether() / IPv6(**six) / IPv6ExtHdrFragment() / ESP(),
        "proto/17": Ether() / IP(**hub, frag=9, proto=17) / Raw(b"\xca\x6c\xca\x6c"),
        "proto/6": Ether() / IPv6(**six) / IPv6ExtHdrFragment(offset=9, nh=6) / Raw(b"abcd"),
    }
    for service, frame in frames.items():
        said = flow(bytes(frame))
        assert said is not None
        assert str(said.service).replace("udp/None", "proto/17").replace("tcp/None", "proto/6") == (
            service
        )
        assert str(said.source) in (hub["src"], six["src"])
    assert flow(bytes(Ether() / ARP())) is None
