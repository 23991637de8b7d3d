"""Frames into a pcapng file, each with a comment (draft-ietf-opsawg-pcapng)."""

import struct
from typing import BinaryIO

_SECTION, _INTERFACE, _ENHANCED = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_ETHERNET = 1
# Options, by block.
_COMMENT, _NAME, _RESOLUTION, _APPLICATION = 1, 2, 9, 4
_NANOSECONDS = b"\x09"


class Writer:
    """Writes each frame at once. Interfaces are described as they come."""

    def __init__(self, file: BinaryIO, application: str) -> None:
        self._file = file
        self._interfaces: dict[str, int] = {}
        self.bytes = 0
        body = struct.pack("=IHHq", _BYTE_ORDER, 1, 0, -1)
        self._block(_SECTION, body + _options((_APPLICATION, application.encode())))

    def write(self, interface: str, time_ns: int, data: bytes, length: int, comment: str) -> None:
        """`time_ns` since 1970; of a frame of `length` bytes `data` is there."""
        number = self._interfaces.get(interface)
        if number is None:
            number = self._interfaces[interface] = len(self._interfaces)
            options = _options((_NAME, interface.encode()), (_RESOLUTION, _NANOSECONDS))
            self._block(_INTERFACE, struct.pack("=HHI", _ETHERNET, 0, 0) + options)
        high, low = divmod(time_ns, 1 << 32)
        head = struct.pack("=IIIII", number, high, low, len(data), length)
        self._block(_ENHANCED, head + _padded(data) + _options((_COMMENT, comment.encode())))
        self._file.flush()

    def _block(self, kind: int, body: bytes) -> None:
        length = len(body) + 12
        self._file.write(struct.pack("=II", kind, length) + body + struct.pack("=I", length))
        self.bytes += length


def _options(*options: tuple[int, bytes]) -> bytes:
    packed = (struct.pack("=HH", code, len(value)) + _padded(value) for code, value in options)
    return b"".join(packed) + bytes(4)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
