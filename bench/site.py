"""The router that is measured: its gateways, its registrations, and the frames sent to it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

import numpy as np
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from bench.population import Population
from control.columns import ENTRY, PLACE, Rows, key_rows
from control.dataplane import DataPlane
from control.entries import Entries
from control.model import Count, Difference, GatewayRow, Tables, Target
from control.sizes import Need, Sizes
from policy.services import parse_service
from policy.window import FOREVER_NS

GATEWAYS = 16  # guarded; everybody is registered at the first
PORT = 51820
SIZE = 64  # bytes of a frame with IPv4; IPv6's has 78
DAY = 24 * 3600 * 10**9

_PREFIX = {4: "198.51.100.", 6: "2001:db8::"}


def gateway_address(family: int, number: int = 1) -> str:
    """Of the gateway with this number."""
    return f"{_PREFIX[family]}{number:x}" if family == 6 else f"{_PREFIX[family]}{number}"


def frame(family: int, traffic: str = "", mac: str = "02:00:00:00:00:01") -> bytes:
    """WireGuard to the first gateway, `mac` the next hop; the source is written on the way.

    What is `unprotected` goes to another port, what is `other` has an EtherType of nobody's.
    """
    ip = IP(src="0.0.0.0") if family == 4 else IPv6(src="::")
    ip.dst = gateway_address(family)
    ether = Ether(dst=mac, src="02:00:00:00:00:02")
    if traffic == "other":
        ether.type = 0x88B5  # IEEE 802: for experiments on one's own network
    udp = UDP(sport=PORT, dport=PORT + (traffic == "unprotected"), chksum=0)
    return bytes(ether / ip / udp / bytes(22 if family == 4 else 16))


def tables() -> Tables:
    """All gateways enforce."""
    numbers = range(1, GATEWAYS + 1)
    (service,) = parse_service("wireguard")
    return Tables(
        gateways={n: GatewayRow(f"gateway-{n}", 0, FOREVER_NS) for n in numbers},
        targets={
            ip_address(gateway_address(family, n)): Target(((service, n),))
            for n in numbers
            for family in (4, 6)
        },
    )


def sizes(population: Population) -> Sizes:
    """Tables as the agent makes them for so many."""
    hosts = int(population.is_host.sum())
    counts = hosts, len(population) - hosts
    entries = (*counts, 0, 0) if population.family == 4 else (0, 0, *counts)
    return Sizes().grown(Need(entries, addresses=2 * GATEWAYS, gateways=GATEWAYS))


def entries_of(population: Population, now: int) -> Entries:
    """All at the first gateway, each with a window that has two ends; as planning gives them."""
    of = population.addresses
    place: Rows = np.zeros(len(population), PLACE)
    place["gateway"] = 1
    place["family"] = of.family
    place["high"] = of.high if of.family == 6 else of.low << np.uint64(32)
    place["low"] = of.low if of.family == 6 else 0
    place["length"] = population.lengths
    rows: Rows = np.zeros(len(population), ENTRY)
    rows["key"] = key_rows(place)
    rows["valid_from"] = now - 30 * DAY
    rows["valid_until"] = now + 365 * DAY
    rows["peer"] = np.arange(1, len(rows) + 1)
    rows["prefix_length"] = population.lengths
    return Entries(rows)


@dataclass(frozen=True, slots=True)
class Router:
    """The production program over maps that hold the registrations."""

    plane: DataPlane
    entries: Entries
    load_s: float  # CPU time that writing them took

    def write(self, some: Entries) -> None:
        self.plane.apply(Difference(write=Tables(entries=some)))

    def delete(self, some: Entries) -> None:
        self.plane.apply(Difference(write=Tables(), delete=Tables(entries=some)))

    def counters(self) -> dict[tuple[int, str], int]:
        """Packets by gateway number and counter."""
        return {
            (number, name): count.packets
            for number, counts in self.plane.counters().items()
            for name, count in counts.items()
            if count != Count(0, 0)
        }


@contextmanager
def router(population: Population) -> Iterator[Router]:
    """Attached to nothing; the maps go with it. Raises DataPlaneError."""
    with DataPlane.offline(sizes(population)) as plane:
        plane.set_clock(time.time_ns() - time.monotonic_ns())
        plane.apply(Difference(write=tables()))
        entries = entries_of(population, time.time_ns())
        before = time.thread_time_ns()
        plane.apply(Difference(write=Tables(entries=entries)))
        load_s = (time.thread_time_ns() - before) / 1e9
        yield Router(plane, entries, load_s)
