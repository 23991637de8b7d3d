"""A random few of the packets that pass, off an interface, while somebody looks.

The program counts what passes by gateway alone; who sent it, a packet socket shows behind it. Its
filter runs in the kernel for each packet there, and takes one in so many of those to gateways.
"""

import ctypes
import socket
import struct
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from control.errors import LinkError
from policy.prefixes import Address

# Of a frame; the headers that are judged hardly ever take more.
TAKEN_BYTES = 256
# Between two reads; the kernel leaves out what comes then.
_BUFFER_BYTES = 1 << 20
# With more addresses than this, packets to anybody are taken.
MOST_ADDRESSES = 100

_ETH_P_ALL = 3
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
# Classic BPF (linux/filter.h): what `ld` reads at this place is a random number.
_RANDOM = 0xFFFFF000 + 56
_LOAD, _LOAD_SHORT, _IF_EQUAL, _MODULO, _RETURN = 0x20, 0x28, 0x15, 0x94, 0x06
_IPV4, _IPV6 = 0x0800, 0x86DD

Instruction = tuple[int, int, int, int]


class Tap:
    """One interface. Raises LinkError where it cannot be looked at."""

    def __init__(self, interface: str, addresses: Sequence[Address]) -> None:
        self._addresses = addresses if len(addresses) <= MOST_ADDRESSES else ()
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        except PermissionError:
            raise LinkError(f"{interface}: packets cannot be looked at: run as root") from None
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            self.take_one_in(1 << 16)
            self._socket.bind((interface, _ETH_P_ALL))
        except OSError as error:
            self._socket.close()
            why = error.strerror
            raise LinkError(f"{interface}: packets cannot be looked at: {why}") from None

    def take_one_in(self, packets: int) -> None:
        """From now on one in so many is taken, at random."""
        code = filtering(self._addresses, packets)
        packed = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in code))
        program = struct.pack("HP", len(code), ctypes.addressof(packed))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    def read(self, most: int) -> list[bytes]:
        """Frames that were taken and not yet read. A link that is down has none."""
        frames: list[bytes] = []
        while len(frames) < most:
            try:
                frames.append(self._socket.recv(TAKEN_BYTES))
            except BlockingIOError:
                break
            except OSError:  # told once, when the link goes
                continue
        return frames

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def filtering(addresses: Iterable[Address], packets: int) -> list[Instruction]:
    """The filter: of packets with tags, and of those to these addresses, one in `packets`.

    Each address is a test of its own that goes on to the next, so that jumps are short.
    """
    sampled: list[Instruction] = [
        (_LOAD, 0, 0, _RANDOM),
        (_MODULO, 0, 0, packets),
        (_IF_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, TAKEN_BYTES),
        (_RETURN, 0, 0, 0),
    ]
    wanted = list(addresses)
    if not wanted:
        return sampled
    code: list[Instruction] = []
    for version, kind, place in ((4, _IPV4, 30), (6, _IPV6, 38)):
        tests: list[Instruction] = []
        for address in (each for each in wanted if each.version == version):
            words = struct.unpack(f"!{len(address.packed) // 4}I", address.packed)
            left = len(words) * 2 + len(sampled)
            for number, word in enumerate(words):
                left -= 2
                tests += [(_LOAD, 0, 0, place + 4 * number), (_IF_EQUAL, 0, left, word)]
            tests += sampled
        tests.append((_RETURN, 0, 0, 0))
        code += _where(kind, tests)
    return [*code, *sampled]


def _where(kind: int, then: list[Instruction]) -> list[Instruction]:
    """What is done with packets of one EtherType; a long way past it is a jump of its own."""
    jump_always = 0x05
    return [
        (_LOAD_SHORT, 0, 0, 12),
        (_IF_EQUAL, 1, 0, kind),
        (jump_always, 0, 0, len(then)),
        *then,
    ]
