"""Several gateways on one address: who answers for what.

EAST (monitors) offers udp/51820, WEST (enforces) GRE and tcp/1194; sources are registered at WEST.
"""

from collections import ChainMap
from dataclasses import replace
from ipaddress import ip_address, ip_network

from control.entries import Entries, Entry
from control.model import GatewayRow, Tables
from tests.bpf import site
from tests.bpf.bench import ENFORCE, HOUR, MONITOR, NOW, Bench, Outcome, entries, target
from tests.bpf.frames import HEADER, LATER, ether, ip, piece, protocol, tcp, udp


def test_a_service_belongs_to_one_gateway(family: int, bench: Bench) -> None:
    known, there = site.REGISTERED[family], site.SHARED[family]
    assert bench.judge(ether(ip(known, there) / udp())) == Outcome("unregistered", "pass", 3)
    assert bench.judge(ether(ip(known, there) / tcp(1194))) == Outcome("registered", "pass", 4, 7)
    gre = ether(ip(known, there, **protocol(family, 47)))
    assert bench.judge(gre) == Outcome("registered", "pass", 4, 7)
    stranger = ether(ip(site.STRANGER[family], there) / tcp(1194))
    assert bench.judge(stranger) == Outcome("unregistered", "drop", 4)


def test_unprotected_counts_at_the_lowest_number(family: int, bench: Bench) -> None:
    packet = ip(site.STRANGER[family], site.SHARED[family]) / udp(53)
    assert bench.judge(ether(packet)) == Outcome("unprotected", "pass", 3)


def test_malformed_drops_if_any_enforces(family: int, bench: Bench) -> None:
    for there, action, number in ((site.SHARED, "drop", 3), (site.SHARED_MONITORED, "pass", 5)):
        frame = bytearray(ether(ip(site.REGISTERED[family], there[family]) / udp()))
        frame[HEADER] &= 0x0F
        assert bench.judge(bytes(frame)) == Outcome("malformed", action, number)


def test_later_fragment_is_registered_at_any(family: int, bench: Bench) -> None:
    for number in (6, 17):
        for source, outcome in (
            (site.REGISTERED, Outcome("registered", "pass", 3, 7)),
            (site.EXPIRED, Outcome("expired", "drop", 3, 9)),
            (site.FUTURE, Outcome("unregistered", "drop", 3, 10)),
            (site.STRANGER, Outcome("unregistered", "drop", 3)),
        ):
            later = piece(source[family], site.SHARED[family], number, LATER)
            assert bench.judge(ether(later)) == outcome


def test_later_fragment_drops_if_any_enforces(family: int, bench: Bench) -> None:
    later = piece(site.STRANGER[family], site.SHARED_MONITORED[family], 17, LATER)
    assert bench.judge(ether(later)) == Outcome("unregistered", "pass", 5)


GROUP = 5000


def one_address(*rows: GatewayRow, held: dict[int, Entry]) -> Tables:
    """Gateways 1, 2, ... on one address, UDP at each; one source, held at some numbers."""
    numbers = range(1, len(rows) + 1)
    tables = Tables(dict(zip(numbers, rows, strict=True)))
    offers = [(number, f"udp/{1000 + number}") for number in numbers]
    tables.targets[ip_address(site.SHARED[4])] = target(*offers, later=GROUP)
    sources = [entries(number, (site.REGISTERED[4], entry)) for number, entry in held.items()]
    return replace(tables, entries=Entries.of(dict(ChainMap(*sources))))


LATER_UDP = ether(piece(site.REGISTERED[4], site.SHARED[4], 17, LATER))


def test_later_fragments_are_looked_up_at_the_group(program: Bench) -> None:
    row = GatewayRow("one", *ENFORCE)
    good, over = Entry(1, 0), Entry(2, 0, 0, NOW - HOUR)
    future, gap = Entry(3, 0, NOW + HOUR), Entry(4, 0, NOW + HOUR, ended=True)
    for held, verdict, peer in (
        ({GROUP: good}, "registered", 1),
        ({1: good, 2: good}, "unregistered", None),
        ({GROUP: over, 1: good}, "expired", 2),
        ({GROUP: future}, "unregistered", 3),
        ({GROUP: gap}, "expired", 4),
        ({}, "unregistered", None),
    ):
        program.hold(one_address(row, row, held=held))
        action = "pass" if verdict == "registered" else "drop"
        assert program.judge(LATER_UDP) == Outcome(verdict, action, 1, peer)


def test_sixteen_gateways_on_one_address(program: Bench) -> None:
    rows = [GatewayRow(f"g{i}", *MONITOR) for i in range(15)] + [GatewayRow("last", *ENFORCE)]
    program.hold(one_address(*rows, held={}))
    assert program.judge(LATER_UDP) == Outcome("unregistered", "drop", 1)
    program.hold(one_address(*rows, held={GROUP: Entry(9, 0)}))
    assert program.judge(LATER_UDP) == Outcome("registered", "pass", 1, 9)
    for number in (1, 8, 16):
        frame = ether(ip(site.STRANGER[4], site.SHARED[4]) / udp(1000 + number))
        action = "drop" if number == 16 else "pass"
        assert program.judge(frame) == Outcome("unregistered", action, number)


def test_longest_prefix_of_the_right_gateway(program: Bench) -> None:
    """A source is looked up at the gateway that is asked for, the longest prefix first."""
    rows = (GatewayRow("one", *ENFORCE), GatewayRow("two", *ENFORCE))
    sources = entries(
        1,
        ("203.0.0.0/8", Entry(1, 0)),
        ("203.0.113.0/24", Entry(2, 0, 0, NOW - HOUR)),
        ("203.0.113.7", Entry(3, 0)),
    ) | entries(2, ("203.0.113.0/25", Entry(4, 0)))
    tables = replace(one_address(*rows, held={}), entries=Entries.of(sources))
    program.hold(tables)
    assert ip_network("203.0.0.0/8") in {prefix for _, prefix in tables.entries}
    for source, number, verdict, peer in (
        ("203.0.113.7", 1, "registered", 3),
        ("203.0.113.8", 1, "expired", 2),
        ("203.0.114.8", 1, "registered", 1),
        ("204.0.0.1", 1, "unregistered", None),
        ("203.0.113.7", 2, "registered", 4),
        ("203.0.113.127", 2, "registered", 4),
        ("203.0.113.128", 2, "unregistered", None),
    ):
        said = program.judge(ether(ip(source, site.SHARED[4]) / udp(1000 + number)))
        assert (said.verdict, said.gateway, said.peer) == (verdict, number, peer)
