"""Where the running kernel keeps whether a frame came in several buffers: in its own types (BTF),
which libbpf reads. bcc brings libbpf.

The program asks a helper for such a frame's length, which costs every packet as much as a lookup.
With this it asks only where the frame is one: bpf_cast_to_kern_ctx() gives it the kernel's own
struct behind its context, for nothing, and flags there say that all of the frame is in front of it.
"""

import ctypes
import struct
from dataclasses import dataclass
from pathlib import Path

VMLINUX = Path("/sys/kernel/btf/vmlinux")

# linux/btf.h: BTF_KIND_*
_STRUCT, _UNION, _FUNCTION = 4, 5, 12
# struct btf_type, and struct btf_member
_TYPE = struct.Struct("=III")
_MEMBER = struct.Struct("=III")


@dataclass(frozen=True, slots=True)
class FrameFlags:
    """The function's id, and at which of its bytes struct xdp_buff has 32 bits of flags."""

    cast: int
    at: int


def frame_flags() -> FrameFlags | None:
    """None where kernel or libbpf do not say."""
    if not VMLINUX.exists():  # libbpf would complain at length
        return None
    try:
        libbpf = ctypes.CDLL("libbpf.so.1")
    except OSError:
        return None
    libbpf.btf__load_vmlinux_btf.restype = ctypes.c_void_p
    types = libbpf.btf__load_vmlinux_btf()
    if not types:
        return None
    try:
        return _found(_Types(libbpf, ctypes.c_void_p(types)))
    finally:
        libbpf.btf__free(ctypes.c_void_p(types))


class _Types:
    def __init__(self, libbpf: ctypes.CDLL, types: ctypes.c_void_p) -> None:
        self._libbpf, self._types = libbpf, types
        libbpf.btf__type_by_id.restype = ctypes.c_void_p
        libbpf.btf__name_by_offset.restype = ctypes.c_char_p

    def number(self, name: str, kind: int) -> int | None:
        """A type's id."""
        found: int = self._libbpf.btf__find_by_name_kind(self._types, name.encode(), kind)
        return found if found > 0 else None

    def offset(self, number: int, member: str) -> int | None:
        """Of a struct's or union's member, in bytes, also of one without a name within it."""
        at = self._libbpf.btf__type_by_id(self._types, number)
        _, info, _ = _TYPE.unpack(ctypes.string_at(at, _TYPE.size))
        if info >> 24 & 0x1F not in (_STRUCT, _UNION):
            return None
        members = ctypes.string_at(at + _TYPE.size, (info & 0xFFFF) * _MEMBER.size)
        where: int
        for name, type_, bits in _MEMBER.iter_unpack(members):
            where = (bits & 0xFFFFFF if info >> 31 else bits) // 8  # above: a bit field's width
            said = self._libbpf.btf__name_by_offset(self._types, name)
            if said == member.encode():
                return where
            if not said and (within := self.offset(type_, member)) is not None:
                return where + within
        return None


def _found(types: _Types) -> FrameFlags | None:
    cast = types.number("bpf_cast_to_kern_ctx", _FUNCTION)
    frame = types.number("xdp_buff", _STRUCT)
    if cast is None or frame is None or (at := types.offset(frame, "flags")) is None:
        return None
    return FrameFlags(cast, at)
