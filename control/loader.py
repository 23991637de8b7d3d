"""Puts compiled XDP instructions into the kernel, over maps of ours; and asks what it takes.

Not bcc's own loading: that asks for pinned maps by their ids, which needs CAP_SYS_ADMIN, and
it knows no program flags.
"""

import errno
import os
import resource
import struct
from collections.abc import Mapping
from contextlib import suppress

from control import syscalls
from control.errors import DataPlaneError
from control.frame_flags import FrameFlags

CAPABILITIES = "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"

# An instruction: operation, registers (the source's number in the upper half), offset, value.
_INSTRUCTION = struct.Struct("=BBhi")
_LOAD_64 = 0x18  # two instructions long
# As the source register: the value is a map's descriptor, and what is loaded the map, or its only
# element.
_BY_FD = (1, 2)

# A call of a kernel's function by its id, where a helper's number would stand with 0 in its place.
_CALL, _OF_FUNCTION = 0x85, 0x20

# r0 = 0, exit; before that a call of bpf_ktime_get_coarse_ns (160, Linux 5.11), or of
# bpf_xdp_get_buff_len (188, Linux 5.18).
_ABORT = bytes.fromhex("b7000000000000009500000000000000")
_COARSE_CLOCK = bytes.fromhex("85000000a0000000") + _ABORT
_FRAME_LENGTH = bytes.fromhex("85000000bc000000") + _ABORT
_LOAD_32_R0 = 0x61, 0x00  # r0 = *(u32 *)(r0 + offset)


def check_privilege() -> None:
    """Raise DataPlaneError where this process may not load our programs."""
    _raise_memlock()
    missing = ", ".join(syscalls.missing_capabilities())
    mend = f"run as root, or with {CAPABILITIES}"
    if missing:
        mend = f"{mend}: this process lacks {missing}"
    try:
        os.close(syscalls.load_xdp(_ABORT, "probe"))
    except OSError as error:
        if error.errno == errno.ENOSYS:
            mend = "use a kernel with CONFIG_BPF_SYSCALL, on x86-64 or arm64"
        elif error.errno != errno.EPERM:
            mend = "use Linux 5.10 or later"
        elif not missing:
            mend = memlock_mend() or mend
        raise DataPlaneError(f"the kernel refuses BPF programs: {error.strerror}; {mend}") from None
    if missing:
        raise DataPlaneError(f"the kernel would refuse the program; {mend}")


def new_map(name: str, kind: int, key: int, value: int, count: int, flags: int) -> int:
    """Its descriptor; sizes are in bytes. Raises DataPlaneError."""
    try:
        return syscalls.new_map(name, kind, key, value, count, flags)
    except OSError as error:
        mend = "give the machine more memory, or lower max_hosts and max_prefixes"
        if error.errno == errno.EPERM:
            mend = memlock_mend() or f"run as root, or with {CAPABILITIES}"
        raise DataPlaneError(
            f"map {name} of {count} elements could not be made: {error.strerror}; {mend}"
        ) from None


def _raise_memlock() -> None:
    """Before 5.11 programs and maps count as memory that their user has locked."""
    hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    for limit in (resource.RLIM_INFINITY, hard):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
            return


def memlock_mend() -> str | None:
    """What to do where that limit may be why the kernel says EPERM."""
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    return (
        f"before Linux 5.11 maps count as locked memory, and this process may lock {limit} "
        "bytes: run as root, or with LimitMEMLOCK=infinity in the unit"
    )


def has_coarse_clock() -> bool:
    """Linux 5.11 and later."""
    return _takes(_COARSE_CLOCK)


def has_frags() -> bool:
    """Frames of several buffers, which native XDP needs for jumbo frames. Linux 5.18 and later."""
    return _takes(_FRAME_LENGTH, syscalls.XDP_HAS_FRAGS)


def has_frame_flags(flags: FrameFlags) -> bool:
    """Whether a program may read them. Linux 6.2 and later, with BTF."""
    cast = _INSTRUCTION.pack(_CALL, _OF_FUNCTION, 0, flags.cast)
    return _takes(
        cast + _INSTRUCTION.pack(*_LOAD_32_R0, flags.at, 0) + _ABORT, syscalls.XDP_HAS_FRAGS
    )


def _takes(code: bytes, flags: int = 0) -> bool:
    try:
        os.close(syscalls.load_xdp(code, "probe", flags))
    except OSError:
        return False
    return True


def over_maps(code: bytes, fds: Mapping[int, int]) -> bytes:
    """The same instructions with other maps: descriptors as compiled -> those wanted."""
    changed = bytearray(code)
    at = 0
    while at < len(changed):
        operation, registers, offset, value = _INSTRUCTION.unpack_from(changed, at)
        if operation == _LOAD_64 and registers >> 4 in _BY_FD:
            _INSTRUCTION.pack_into(changed, at, operation, registers, offset, fds[value])
        at += _INSTRUCTION.size * (2 if operation == _LOAD_64 else 1)
    return bytes(changed)


def with_function(code: bytes, helper: int, function: int) -> bytes:
    """The same instructions, but the kernel's function with this id for the helper's number."""
    changed = bytearray(code)
    at = 0
    while at < len(changed):
        operation, _, _, value = _INSTRUCTION.unpack_from(changed, at)
        if operation == _CALL and value == helper:
            _INSTRUCTION.pack_into(changed, at, _CALL, _OF_FUNCTION, 0, function)
        at += _INSTRUCTION.size * (2 if operation == _LOAD_64 else 1)
    return bytes(changed)


def load(code: bytes, name: str, *, frags: bool = False) -> int:
    """A descriptor of the program. Raises DataPlaneError with the verifier's reason."""
    flags = syscalls.XDP_HAS_FRAGS if frags else 0
    try:
        return syscalls.load_xdp(code, name, flags)
    except OSError as error:
        log = syscalls.verifier_log(code, name, flags)
        raise DataPlaneError(
            f"the program could not be loaded: {_reason(log) or error.strerror}; "
            "use Linux 5.10 or later, and report this line with the kernel's version"
        ) from None


def _reason(log: str) -> str:
    """The last line of the verifier's log before its statistics."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("processed ", "verification time"))]
    return said[-1] if said else ""
