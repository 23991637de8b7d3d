"""Hosts and prefixes far from each other and near, which the live program tells from strangers by
few looks: it and the explaining one, which takes no such way, must say alike, and be right."""

import random
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from control.entries import Entries, Entry
from control.model import GatewayRow, Tables
from policy.prefixes import Address
from tests.bpf.bench import ENFORCE, Bench, Outcome, entries, target
from tests.bpf.frames import ether, ip, udp
from tests.bpf.site import GATEWAY

HUB = 1
HOSTS, PREFIXES, STRANGERS = 60, 12, 60
LENGTHS = {4: (16, 20, 24, 29), 6: (32, 40, 48, 64)}
SHORT = {4: ip_network("20.0.0.0/8"), 6: ip_network("2a00::/20")}


def anywhere(family: int, rng: random.Random) -> Address:
    if family == 4:
        return IPv4Address(rng.randrange(1 << 24, 200 << 24))
    return IPv6Address(0x2 << 124 | rng.getrandbits(124))


def near(address: Address, rng: random.Random) -> Address:
    """Another one that shares its first bits."""
    return type(address)(int(address) ^ 1 << rng.randrange(address.max_prefixlen // 2))


@pytest.mark.parametrize("short", [False, True], ids=["", "short prefixes too"])
def test_strangers_are_told_from_peers(short: bool, family: int, program: Bench) -> None:
    rng = random.Random(f"{family} {short}")
    hosts = [anywhere(family, rng) for _ in range(HOSTS)]
    networks = [
        ip_network((int(anywhere(family, rng)), LENGTHS[family][n % 4]), strict=False)
        for n in range(PREFIXES)
    ]
    networks += [SHORT[family]] if short else []
    sources = [str(each) for each in (*hosts, *networks)]
    program.hold(
        Tables(
            gateways={HUB: GatewayRow("hub", *ENFORCE)},
            targets={type(hosts[0])(GATEWAY[family]): target((HUB, "wireguard"))},
            entries=Entries.of(entries(HUB, *((source, Entry(7, 0)) for source in sources))),
        )
    )
    inside = [network[rng.randrange(network.num_addresses)] for network in networks]
    strangers = [anywhere(family, rng) for _ in range(STRANGERS)]
    beside = [near(address, rng) for address in (*hosts, *inside)]
    for address in (*hosts, *inside, *strangers, *beside):
        known = address in hosts or any(address in network for network in networks)
        expected = (
            Outcome("registered", "pass", HUB, 7) if known else Outcome("unregistered", "drop", HUB)
        )
        frame = ether(ip(str(address), GATEWAY[family]) / udp())
        assert program.judge(frame) == expected, address
