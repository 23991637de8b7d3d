"""The registrations that most tests judge by, the same in both families.

Gateway 1 enforces, 2 monitors; 3 (monitors) and 4 (enforces) share an address; so do 5 and 6,
which monitor both.
"""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from control.entries import Entries, Entry
from control.model import GatewayRow, Tables
from policy.prefixes import Address, Network
from tests.bpf.bench import ENFORCE, HOUR, MONITOR, NOW, entries, target

HUB, LAB, EAST, WEST, NORTH, SOUTH = 1, 2, 3, 4, 5, 6
EAST_WEST, NORTH_SOUTH = 8191, 8190  # groups, for later fragments

GATEWAY = {4: "198.51.100.1", 6: "2001:db8::1"}
MONITORED = {4: "198.51.100.2", 6: "2001:db8::2"}
SHARED = {4: "198.51.100.3", 6: "2001:db8::3"}
SHARED_MONITORED = {4: "198.51.100.4", 6: "2001:db8::4"}
ELSEWHERE = {4: "198.51.100.5", 6: "2001:db8::5"}

REGISTERED = {4: "203.0.113.7", 6: "2001:db8:7::7"}
IN_PREFIX = {4: "203.0.113.65", 6: "2001:db8:8:1::1"}
EXPIRED = {4: "203.0.113.9", 6: "2001:db8:9::9"}
FUTURE = {4: "203.0.113.10", 6: "2001:db8:a::a"}
IN_GAP = {4: "203.0.113.11", 6: "2001:db8:b::b"}
STRANGER = {4: "192.0.2.66", 6: "2001:db8:bad::66"}

PEER_HOST, PEER_PREFIX, PEER_EXPIRED, PEER_FUTURE, PEER_GAP = 7, 8, 9, 10, 11

_SOURCES = (
    *((address, Entry(PEER_HOST, 0)) for address in REGISTERED.values()),
    ("203.0.113.64/27", Entry(PEER_PREFIX, 0)),
    ("2001:db8:8::/48", Entry(PEER_PREFIX, 0)),
    *((address, Entry(PEER_EXPIRED, 0, 0, NOW - HOUR)) for address in EXPIRED.values()),
    *((address, Entry(PEER_FUTURE, 0, NOW + HOUR)) for address in FUTURE.values()),
    *((address, Entry(PEER_GAP, 0, NOW + HOUR, ended=True)) for address in IN_GAP.values()),
)

_TARGETS = (
    (GATEWAY, target((HUB, "wireguard"), (HUB, "ipsec"), (HUB, "gre"), (HUB, "tcp/1194"))),
    (MONITORED, target((LAB, "wireguard"), (LAB, "gre"), (LAB, "tcp/1194"))),
    (SHARED, target((EAST, "wireguard"), (WEST, "gre"), (WEST, "tcp/1194"), later=EAST_WEST)),
    (SHARED_MONITORED, target((NORTH, "wireguard"), (SOUTH, "gre"), later=NORTH_SOUTH)),
)

SITE = Tables(
    gateways={
        HUB: GatewayRow("hub", *ENFORCE),
        LAB: GatewayRow("lab", *MONITOR),
        EAST: GatewayRow("east", *MONITOR),
        WEST: GatewayRow("west", *ENFORCE),
        NORTH: GatewayRow("north", *MONITOR),
        SOUTH: GatewayRow("south", *MONITOR),
    },
    targets={
        ip_address(address): offered
        for addresses, offered in _TARGETS
        for address in addresses.values()
    },
    entries=Entries.of(
        {
            **entries(HUB, *_SOURCES),
            **entries(LAB, *_SOURCES),
            **entries(WEST, *_SOURCES),
            **entries(SOUTH, *_SOURCES),
            **entries(EAST_WEST, *_SOURCES),
            **entries(NORTH_SOUTH, *_SOURCES),
        }
    ),
)


def beside(source: Address, shortest: int) -> Iterator[Network]:
    """A prefix of each length from this one on that differs from `source` in its last bit alone:
    near it at every length, and never around it."""
    size = source.max_prefixlen
    for length in range(shortest, size):
        bit = 1 << (size - length)
        first = (int(source) ^ bit) // bit * bit
        yield ip_network((type(source)(first), length))
