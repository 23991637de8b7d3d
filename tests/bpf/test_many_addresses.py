"""A gateway with so many addresses that the first bits of their hashes do not tell them apart."""

from ipaddress import ip_address

from control.entries import Entries, Entry
from control.model import GatewayRow, Tables
from policy.prefixes import Address
from tests.bpf.bench import BYSTANDER, ENFORCE, Bench, Outcome, entries, target
from tests.bpf.frames import ether, ip, udp
from tests.bpf.site import REGISTERED, STRANGER

HUB = 1
FIRST = {4: ip_address("198.51.100.0"), 6: ip_address("2001:db8::1:0")}
COUNT = 200  # of each family; of neighbours, every second one is guarded

REGISTERED_HERE = Outcome("registered", "pass", HUB, 7)
STRANGER_HERE = Outcome("unregistered", "drop", HUB)


def test_each_is_told_from_its_neighbours(program: Bench) -> None:
    guarded = {family: [first + 2 * n for n in range(COUNT)] for family, first in FIRST.items()}
    offered = target((HUB, "wireguard"))
    program.hold(
        Tables(
            gateways={HUB: GatewayRow("hub", *ENFORCE)},
            targets={address: offered for some in guarded.values() for address in some},
            entries=Entries.of(
                entries(HUB, *((address, Entry(7, 0)) for address in REGISTERED.values()))
            ),
        )
    )
    for family, addresses in guarded.items():
        for address in addresses:
            assert judged(program, REGISTERED[family], address) == REGISTERED_HERE
            assert judged(program, STRANGER[family], address) == STRANGER_HERE
            assert judged(program, STRANGER[family], address + 1) == BYSTANDER


def judged(program: Bench, source: str, destination: Address) -> Outcome:
    return program.judge(ether(ip(source, str(destination)) / udp()))
