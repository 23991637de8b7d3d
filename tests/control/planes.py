"""Small tables of the data plane, and what stands in their maps."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network

from control.arrays import open_array
from control.columns import Rows, SourceKey
from control.dataplane import DataPlane
from control.entries import Entries, Entry
from control.model import GatewayRow, Tables, Target
from control.sizes import Sizes
from policy.services import Service
from policy.window import FOREVER_NS
from tests.bpf.frames import ether, ip, udp

SIZES = Sizes.room_for(8, 8, 4)
HUB = IPv4Address("198.51.100.1")
WIREGUARD = Target(((Service(17, 51820), 1),))
# Registered, expired, unregistered.
FRAMES = [ether(ip(f"203.0.113.{n}", str(HUB)) / udp()) for n in (1, 9, 8)]


def host(number: int) -> SourceKey:
    return 1, IPv4Network(IPv4Address("203.0.113.0") + number)


def prefix(number: int) -> SourceKey:
    return 1, IPv6Network((0x20010DB8 << 96 | number << 64, 64))


def entry(source: SourceKey, peer: int = 7) -> Entry:
    return Entry(peer, source[1].prefixlen)


def site(*sources: SourceKey) -> Tables:
    return Tables(
        gateways={1: GatewayRow("hub", 0, FOREVER_NS)},
        targets={HUB: WIREGUARD},
        entries=Entries.of({source: entry(source) for source in sources}),
    )


def rows_of(plane: DataPlane, name: str) -> Rows:
    table = plane._tables[name]
    return open_array(name, table.fd, table.value, table.max_entries).rows


def half(plane: DataPlane, name: str) -> Rows:
    return rows_of(plane, name)[int(rows_of(plane, "root")["guard"][0]) & 1 :: 2]
