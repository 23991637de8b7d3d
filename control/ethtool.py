"""What ethtool(8) would say of an interface: channels, offloads, the bus it sits on.

Asked by ioctl(2), which answers for the caller's network namespace and needs no privilege
(sysfs shows the links of the namespace it was mounted in). What a driver does not say is None,
or missing.
"""

import array
import fcntl
import socket
import struct
from dataclasses import dataclass

SIOCETHTOOL = 0x8946

# linux/ethtool.h
_GDRVINFO = 0x03
_GSTRINGS = 0x1B
_GSSET_INFO = 0x37
_GFEATURES = 0x3A
_GCHANNELS = 0x3C
_SS_FEATURES = 4
_STRING = 32


@dataclass(frozen=True, slots=True)
class Channels:
    """Pairs of queues and their limits; `rx` and `tx` are those that are not combined."""

    rx: int
    tx: int
    combined: int
    max_rx: int
    max_tx: int
    max_combined: int


@dataclass(frozen=True, slots=True)
class Feature:
    """One offload: whether it is on, and whether `ethtool -K` may change that."""

    on: bool
    changeable: bool


def channels(name: str) -> Channels | None:
    answer = _ask(name, struct.pack("=9I", _GCHANNELS, *(0,) * 8))
    if answer is None:
        return None
    _, max_rx, max_tx, _, max_combined, rx, tx, _, combined = struct.unpack("=9I", answer)
    return Channels(rx, tx, combined, max_rx, max_tx, max_combined)


def driver(name: str) -> str | None:
    """As in virtio_net; unlike sysfs, also for a veth or a bridge."""
    answer = _ask(name, struct.pack("=I", _GDRVINFO) + bytes(192))
    return None if answer is None else _text(answer[4:36]) or None


def bus(name: str) -> str | None:
    """The device's address on its bus, as in 0000:00:03.0."""
    answer = _ask(name, struct.pack("=I", _GDRVINFO) + bytes(192))
    return None if answer is None else _text(answer[100:132]) or None


def features(name: str) -> dict[str, Feature]:
    """Offloads by the kernel's own names, as in rx-lro; empty where it does not say."""
    answer = _ask(name, struct.pack("=IIQI", _GSSET_INFO, 0, 1 << _SS_FEATURES, 0))
    if answer is None:
        return {}
    count = struct.unpack_from("=I", answer, 16)[0]
    strings = _ask(
        name, struct.pack("=III", _GSTRINGS, _SS_FEATURES, count) + bytes(_STRING * count)
    )
    blocks = (count + 31) // 32
    states = _ask(name, struct.pack("=II", _GFEATURES, blocks) + bytes(16 * blocks))
    if strings is None or states is None:
        return {}
    found = {}
    for bit in range(count):
        word = _text(strings[12 + bit * _STRING : 12 + (bit + 1) * _STRING])
        changeable, _, on, _ = struct.unpack_from("=4I", states, 8 + 16 * (bit // 32))
        mask = 1 << bit % 32
        if word:
            found[word] = Feature(on=bool(on & mask), changeable=bool(changeable & mask))
    return found


def _ask(name: str, question: bytes) -> bytes | None:
    buffer = array.array("B", question)
    request = struct.pack("16sP16x", name.encode(), buffer.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            fcntl.ioctl(any_socket, SIOCETHTOOL, request)
        except OSError:
            return None
    return buffer.tobytes()


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode(errors="replace")
