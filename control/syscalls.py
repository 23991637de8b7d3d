"""The few commands of bpf(2) and mount(2) that the data plane needs, straight from libc.

Everything here raises OSError with the kernel's errno; it knows nothing of peergate.
"""

import ctypes
import errno
import os
import platform
import re
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

BPF_FS_MAGIC = 0xCAFE4A11
PROG_TYPE_XDP = 6
XDP_HAS_FRAGS = 1 << 5  # flag of a program that takes frames of several buffers
ENOTSUPP = 524  # the kernel's own; libc has no word for it

_BPF_NUMBER = {"x86_64": 321, "aarch64": 280}

_MAP_CREATE, _MAP_ARRAY, _MAP_ARRAY_OF_MAPS = 0, 2, 12
_MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _MAP_GET_NEXT = 1, 2, 3, 4
_PROG_LOAD, _OBJ_PIN, _OBJ_GET = 5, 6, 7
_PROG_TEST_RUN, _PROG_GET_FD_BY_ID, _OBJ_GET_INFO = 10, 13, 15
_LOOKUP_BATCH, _UPDATE_BATCH, _DELETE_BATCH = 24, 26, 27

# Levels of the verifier's log; what it took to verify comes with the second alone.
LOG_STEPS, LOG_STATISTICS = 1, 4
_LOG_SIZE = 1 << 24

_CAPABILITIES_OF_BPF = {"CAP_NET_ADMIN": 12, "CAP_PERFMON": 38, "CAP_BPF": 39}
_CAP_SYS_ADMIN = 21  # stands for the last two

# membarrier(2): its number, and the commands
_MEMBARRIER_NUMBER = {"x86_64": 324, "aarch64": 283}
_MEMBARRIER_GLOBAL, _MEMBARRIER_GLOBAL_EXPEDITED = 1, 2

_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_ATTR_SIZE = 128

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class MapInfo:
    """What the kernel says of a map; sizes in bytes, a per-CPU value's for one CPU."""

    id: int
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    name: str


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """What the kernel says of a program: its type, name and the ids of its maps."""

    id: int
    type: int
    name: str
    maps: frozenset[int]


def _bpf(command: int, attributes: ctypes.Array[ctypes.c_char]) -> int:
    number = _BPF_NUMBER.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"bpf(2) on {platform.machine()} is not known here")
    result: int = _libc.syscall(number, command, ctypes.byref(attributes), len(attributes))
    if result < 0:
        raise _error()
    return result


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, "not supported" if number == ENOTSUPP else os.strerror(number))


def _attributes(layout: str, *values: int) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(struct.pack("=" + layout, *values), _ATTR_SIZE)


def _in(data: bytes) -> tuple[ctypes.Array[ctypes.c_char], int]:
    buffer = ctypes.create_string_buffer(data, max(len(data), 1))
    return buffer, ctypes.addressof(buffer)


def _out(size: int) -> tuple[ctypes.Array[ctypes.c_char], int]:
    buffer = ctypes.create_string_buffer(max(size, 1))
    return buffer, ctypes.addressof(buffer)


def new_map(
    name: str, type_: int, key_size: int, value_size: int, max_entries: int, flags: int
) -> int:
    """A descriptor of a new map."""
    attributes = _attributes("IIIII", type_, key_size, value_size, max_entries, flags)
    struct.pack_into("=16s", attributes, 28, name.encode()[:15])
    return _bpf(_MAP_CREATE, attributes)


def lookup(fd: int, key: bytes, value_size: int) -> bytes:
    """The value under `key`; of a per-CPU map, all CPUs' values one after another."""
    _keep, key_at = _in(key)
    value, value_at = _out(value_size)
    _bpf(_MAP_LOOKUP, _attributes("I4xQQQ", fd, key_at, value_at, 0))
    return value.raw[:value_size]


def update(fd: int, key: bytes, value: bytes) -> None:
    _key, key_at = _in(key)
    _value, value_at = _in(value)
    _bpf(_MAP_UPDATE, _attributes("I4xQQQ", fd, key_at, value_at, 0))


def delete(fd: int, key: bytes) -> None:
    _key, key_at = _in(key)
    _bpf(_MAP_DELETE, _attributes("I4xQQQ", fd, key_at, 0, 0))


def next_key(fd: int, key: bytes | None, key_size: int) -> bytes:
    """The key after `key`, or the first one. ENOENT after the last."""
    _key, key_at = _in(key) if key is not None else (None, 0)
    found, found_at = _out(key_size)
    _bpf(_MAP_GET_NEXT, _attributes("I4xQQQ", fd, key_at, found_at, 0))
    return found.raw[:key_size]


def lookup_batch(
    fd: int, position: bytes | None, count: int, key_size: int, value_size: int
) -> tuple[bytes, bytes, bytes, bool]:
    """Up to `count` entries after `position`: keys, values, the new position, whether more follow.

    The position is opaque; hashes write 4 bytes there, tries a whole key.
    """
    _before, before_at = _in(position) if position is not None else (None, 0)
    after, after_at = _out(256)
    keys, keys_at = _out(count * key_size)
    values, values_at = _out(count * value_size)
    attributes = _attributes("QQQQIIQQ", before_at, after_at, keys_at, values_at, count, fd, 0, 0)
    more = True
    try:
        _bpf(_LOOKUP_BATCH, attributes)
    except FileNotFoundError:
        more = False
    (got,) = struct.unpack_from("=I", attributes, 32)
    return keys.raw[: got * key_size], values.raw[: got * value_size], after.raw, more


def update_batch(fd: int, keys: bytes, values: bytes, count: int) -> None:
    """Writes all entries, or raises BatchError."""
    _keys, keys_at = _in(keys)
    _values, values_at = _in(values)
    _batch(_UPDATE_BATCH, _attributes("QQQQIIQQ", 0, 0, keys_at, values_at, count, fd, 0, 0))


def delete_batch(fd: int, keys: bytes, count: int) -> None:
    """Deletes all keys, or raises BatchError."""
    _keys, keys_at = _in(keys)
    _batch(_DELETE_BATCH, _attributes("QQQQIIQQ", 0, 0, keys_at, 0, count, fd, 0, 0))


class BatchError(OSError):
    """A batch that stopped; `done` entries before the failing one are in force."""

    def __init__(self, error: OSError, done: int) -> None:
        super().__init__(error.errno, error.strerror)
        self.done = done


def _batch(command: int, attributes: ctypes.Array[ctypes.c_char]) -> None:
    before = attributes.raw
    try:
        _bpf(command, attributes)
    except OSError as error:
        # A kernel that has no such command for this map leaves `count` as it was.
        (count,) = struct.unpack_from("=I", attributes, 32)
        raise BatchError(error, 0 if attributes.raw == before else count) from None


def map_info(fd: int) -> MapInfo:
    if os.readlink(f"/proc/self/fd/{fd}") != "anon_inode:bpf-map":
        raise OSError(errno.EINVAL, "not a BPF map")
    info = _info(fd, 80)
    type_, id_, key_size, value_size, max_entries, flags, name = struct.unpack_from("=6I16s", info)
    return MapInfo(id_, type_, key_size, value_size, max_entries, flags, _text(name))


def program_info(fd: int) -> ProgramInfo:
    if os.readlink(f"/proc/self/fd/{fd}") != "anon_inode:bpf-prog":
        raise OSError(errno.EINVAL, "not a BPF program")
    # struct bpf_prog_info: type 0, id 4, nr_map_ids 52, map_ids 56, name 64.
    (count,) = struct.unpack_from("=I", _info(fd, 80), 52)
    ids, ids_at = _out(4 * count)
    request = bytearray(80)
    struct.pack_into("=IQ", request, 52, count, ids_at)
    info = _info(fd, 80, bytes(request))
    type_, id_ = struct.unpack_from("=II", info)
    (found,) = struct.unpack_from("=I", info, 52)
    (name,) = struct.unpack_from("=16s", info, 64)
    maps = struct.unpack_from(f"={min(found, count)}I", ids)
    return ProgramInfo(id_, type_, _text(name), frozenset(maps))


def _info(fd: int, size: int, request: bytes = b"") -> bytes:
    info, info_at = _in(request.ljust(size, b"\0"))
    _bpf(_OBJ_GET_INFO, _attributes("IIQ", fd, size, info_at))
    return info.raw[:size]


def _text(name: bytes) -> str:
    return name.split(b"\0", 1)[0].decode("ascii", "replace")


def pin(fd: int, path: Path) -> None:
    _path, path_at = _in(os.fsencode(path) + b"\0")
    _bpf(_OBJ_PIN, _attributes("QI", path_at, fd))


def open_pinned(path: Path) -> int:
    """A file descriptor of what is pinned at `path`."""
    _path, path_at = _in(os.fsencode(path) + b"\0")
    return _bpf(_OBJ_GET, _attributes("QI", path_at, 0))


def program_fd_by_id(program_id: int) -> int:
    return _bpf(_PROG_GET_FD_BY_ID, _attributes("III", program_id, 0, 0))


def test_run(fd: int, frame: bytes, first: int | None = None) -> int:  # noqa: PT028  # no test
    """What the program returns for `frame`, of 14 bytes or more.

    `first`: so many of them are in the first buffer, the others in more buffers (Linux 6.18).
    """
    return _test_run(fd, frame, 1, first)[0]


def time_run(fd: int, frame: bytes, repeat: int) -> int:
    """Nanoseconds that the program takes for `frame`: the mean of `repeat` runs, rounded down."""
    return _test_run(fd, frame, repeat, None)[1]


def _test_run(fd: int, frame: bytes, repeat: int, first: int | None) -> tuple[int, int]:
    _frame, frame_at = _in(frame)
    # struct xdp_md: data, data_end, data_meta, ingress interface, queue, egress interface.
    context = b"" if first is None else struct.pack("=6I", 0, first, 0, 0, 0, 0)
    _context, context_at = _in(context)
    attributes = _attributes(
        "IIIIQQIIIIQQ",
        *(fd, 0, len(frame), 0, frame_at, 0, repeat, 0),
        *(len(context), 0, context_at if context else 0, 0),
    )
    _bpf(_PROG_TEST_RUN, attributes)
    (returned,) = struct.unpack_from("=I", attributes, 4)
    (nanoseconds,) = struct.unpack_from("=I", attributes, 36)
    return int(returned), int(nanoseconds)


def load_xdp(code: bytes, name: str, flags: int = 0) -> int:
    """A descriptor of the loaded program: XDP instructions, under the GPL."""
    return _load_xdp(code, name, flags, 0, 0, 0)


def verifier_log(code: bytes, name: str, flags: int = 0, level: int = LOG_STEPS) -> str:
    """What the verifier writes of the instructions, whether or not it takes them."""
    log, log_at = _out(_LOG_SIZE)
    with suppress(OSError):
        os.close(_load_xdp(code, name, flags, level, _LOG_SIZE, log_at))
    return log.value.decode(errors="replace")


def _load_xdp(code: bytes, name: str, flags: int, level: int, log_size: int, log_at: int) -> int:
    _code, code_at = _in(code)
    _license, license_at = _in(b"GPL\0")
    count = len(code) // 8
    attributes = _attributes(
        "IIQQIIQII", PROG_TYPE_XDP, count, code_at, license_at, level, log_size, log_at, 0, flags
    )
    struct.pack_into("=16s", attributes, 48, name.encode()[:15])
    return _bpf(_PROG_LOAD, attributes)


def missing_capabilities() -> tuple[str, ...]:
    """Those that this process would need to load XDP programs, and has not in force."""
    found = re.search(r"^CapEff:\t([0-9a-f]+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    has = int(found[1], 16) if found else 0
    if has >> _CAP_SYS_ADMIN & 1:
        has |= 1 << _CAPABILITIES_OF_BPF["CAP_PERFMON"] | 1 << _CAPABILITIES_OF_BPF["CAP_BPF"]
    return tuple(name for name, bit in sorted(_CAPABILITIES_OF_BPF.items()) if not has >> bit & 1)


def grace_period() -> None:
    """Returns when every packet that was being judged has been: the kernel's synchronize_rcu()."""
    try:
        _membarrier(_MEMBARRIER_GLOBAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _update_map_of_maps()


def _update_map_of_maps() -> None:
    """This waits the same way, and also where CPUs are isolated with nohz_full."""
    inner = outer = -1
    try:
        inner = _bpf(_MAP_CREATE, _attributes("IIII", _MAP_ARRAY, 4, 4, 1))
        outer = _bpf(_MAP_CREATE, _attributes("IIIIII", _MAP_ARRAY_OF_MAPS, 4, 4, 1, 0, inner))
        update(outer, bytes(4), struct.pack("=I", inner))
    finally:
        for fd in (inner, outer):
            if fd >= 0:
                os.close(fd)


def memory_barrier() -> None:
    """Stores before this are seen before stores after it."""
    _membarrier(_MEMBARRIER_GLOBAL_EXPEDITED)


def _membarrier(command: int) -> None:
    if _libc.syscall(_MEMBARRIER_NUMBER[platform.machine()], command, 0, 0) < 0:
        raise _error()


def filesystem_magic(path: Path) -> int:
    """f_type of the filesystem at `path`."""
    buffer, _at = _out(256)
    if _libc.statfs(os.fsencode(path), buffer) != 0:
        raise _error()
    (magic,) = struct.unpack_from("=q", buffer)
    return int(magic)


def mount_bpf(path: Path) -> None:
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    target = os.fsencode(path)
    if _libc.mount(b"bpf", target, b"bpf", ctypes.c_ulong(flags), b"mode=0700") != 0:
        raise _error()
