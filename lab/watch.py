"""What arrives at a link, with the kernel's time: proof of what a gate let through, and when."""

import socket
import struct
import time
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
SO_TIMESTAMPNS = 35
SOL_PACKET = 263
PACKET_STATISTICS = 6
WITH_PORTS = frozenset({socket.IPPROTO_TCP, socket.IPPROTO_UDP})


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet that came in; `port` is TCP's or UDP's destination, else None."""

    source: Address
    destination: Address
    protocol: int
    port: int | None


def read_packet(frame: bytes) -> Packet | None:
    """Read an untagged Ethernet frame; IPv6 without extension headers; None for the rest."""
    if len(frame) < 34:
        return None
    (kind,) = struct.unpack_from("!H", frame, 12)
    source: Address
    destination: Address
    if kind == ETH_P_IP:
        protocol, first = frame[23], struct.unpack_from("!H", frame, 20)[0] & 0x1FFF == 0
        source, destination = IPv4Address(frame[26:30]), IPv4Address(frame[30:34])
        transport = 14 + (frame[14] & 0x0F) * 4
    elif kind == ETH_P_IPV6 and len(frame) >= 54:
        protocol, first = frame[20], True
        source, destination = IPv6Address(frame[22:38]), IPv6Address(frame[38:54])
        transport = 54
    else:
        return None
    port = None
    if protocol in WITH_PORTS and first and len(frame) >= transport + 4:
        (port,) = struct.unpack_from("!H", frame, transport + 2)
    return Packet(source, destination, protocol, port)


class Watch:
    """A packet socket on one link; it knows all that came in since it was opened."""

    def __init__(self, namespace: Namespace, link: str) -> None:
        self._socket = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.bind((link, ETH_P_ALL))
        self._socket.setblocking(False)
        self._name = f"{link} of {namespace.name}"
        self._seen: list[tuple[float, Packet]] = []

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
                frame, ancillary, _, address = self._socket.recvmsg(128, 64)
            except BlockingIOError:
                break
            packet = read_packet(frame)
            if packet is not None and address[2] != socket.PACKET_OUTGOING:
                seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
                self._seen.append((seconds + nanoseconds / 1e9, packet))
        statistics = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        _, lost = struct.unpack("II", statistics)
        if lost:
            raise LabError(f"the watch on {self._name} lost {lost} packets: the counts are short")

    def times(
        self,
        source: str,
        protocol: int | None = None,
        port: int | None = None,
        *,
        to: str | None = None,
        since: float = 0.0,
    ) -> list[float]:
        """When packets like these came in, in seconds since 1970; None is any."""
        self._drain()
        origin = ip_address(source)
        target = None if to is None else ip_address(to)
        return [
            when
            for when, packet in self._seen
            if when >= since
            and packet.source == origin
            and target in (None, packet.destination)
            and protocol in (None, packet.protocol)
            and port in (None, packet.port)
        ]

    def count(
        self,
        source: str,
        protocol: int | None = None,
        port: int | None = None,
        *,
        to: str | None = None,
        since: float = 0.0,
    ) -> int:
        """How many packets like these came in."""
        return len(self.times(source, protocol, port, to=to, since=since))


def wait_until(condition: Callable[[], bool], seconds: float, interval: float = 0.05) -> bool:
    """Poll `condition` until it holds; False when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True
