"""Counts what arrives at a link, by source and service: proof of what a gate let through."""

import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import TracebackType
from typing import Self

from lab.netns import LabError, Namespace
from policy.prefixes import Address

ETH_P_ALL = 0x0003
ETH_P_IP = 0x0800
ETH_P_IPV6 = 0x86DD
SO_RCVBUFFORCE = 33
SOL_PACKET = 263
PACKET_STATISTICS = 6
WITH_PORTS = frozenset({socket.IPPROTO_TCP, socket.IPPROTO_UDP})


@dataclass(frozen=True, slots=True)
class Arrival:
    """What packets are counted by; `port` is TCP's or UDP's destination, else None."""

    source: Address
    protocol: int
    port: int | None


def arrival(frame: bytes) -> Arrival | None:
    """Read an untagged Ethernet frame; IPv6 without extension headers; None for the rest."""
    if len(frame) < 34:
        return None
    (kind,) = struct.unpack_from("!H", frame, 12)
    source: Address
    if kind == ETH_P_IP:
        protocol, source = frame[23], IPv4Address(frame[26:30])
        transport = 14 + (frame[14] & 0x0F) * 4
        first = struct.unpack_from("!H", frame, 20)[0] & 0x1FFF == 0
    elif kind == ETH_P_IPV6 and len(frame) >= 54:
        protocol, source = frame[20], IPv6Address(frame[22:38])
        transport, first = 54, True
    else:
        return None
    if protocol in WITH_PORTS and first and len(frame) >= transport + 4:
        return Arrival(source, protocol, struct.unpack_from("!H", frame, transport + 2)[0])
    return Arrival(source, protocol, None)


class Watch:
    """A packet socket on one link; the counts are of all that came in since it was opened."""

    def __init__(self, namespace: Namespace, link: str) -> None:
        self._socket = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        self._socket.bind((link, ETH_P_ALL))
        self._socket.setblocking(False)
        self._name = f"{link} of {namespace.name}"
        self._seen: Counter[Arrival] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def _drain(self) -> None:
        while True:
            try:
                frame, address = self._socket.recvfrom(2048)
            except BlockingIOError:
                break
            if address[2] == socket.PACKET_OUTGOING:
                continue
            if (seen := arrival(frame)) is not None:
                self._seen[seen] += 1
        _, lost = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        if lost:
            raise LabError(f"the watch on {self._name} lost {lost} packets: the counts are short")

    def count(self, source: str, protocol: int | None = None, port: int | None = None) -> int:
        """Packets from `source`, of that protocol and destination port where they are given."""
        self._drain()
        wanted = ip_address(source)
        return sum(
            number
            for seen, number in self._seen.items()
            if seen.source == wanted
            and protocol in (None, seen.protocol)
            and port in (None, seen.port)
        )


def wait_until(condition: Callable[[], bool], seconds: float, interval: float = 0.05) -> bool:
    """Poll `condition` until it holds; False when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True
