"""One BPF map: read whole, written and deleted in batches where the kernel has them."""

import errno
from collections.abc import Iterator, Sequence
from ctypes import sizeof
from dataclasses import dataclass
from typing import Any

from control import syscalls
from control.errors import DataPlaneError

CType = Any  # a ctypes class that bcc built from peergate.h
Record = Any  # what it makes

_AT_ONCE = 4096
_NO_BATCHES = (syscalls.ENOTSUPP, errno.EINVAL, errno.EOPNOTSUPP)
_FULL = (errno.E2BIG, errno.ENOSPC)


@dataclass(frozen=True, slots=True)
class BpfMap:
    """A map by its descriptor, with the types of its keys and values."""

    name: str
    fd: int
    key: CType
    value: CType
    max_entries: int

    def get(self, key: bytes) -> Record:
        """The value under `key`. Raises DataPlaneError where there is none."""
        try:
            raw = syscalls.lookup(self.fd, key, sizeof(self.value))
        except OSError as error:
            raise self._failed("read", error) from None
        return self.value.from_buffer_copy(raw)

    def items(self) -> Iterator[tuple[Record, Record]]:
        """All entries. Written to meanwhile, it may miss entries or give some twice."""
        try:
            yield from self._items_in_batches()
        except OSError as error:
            if error.errno not in _NO_BATCHES:
                raise self._failed("read", error) from None
            yield from self.items_one_by_one()

    def dump(self) -> tuple[bytes, bytes]:
        """All keys and all values, one behind the other, in the same order."""
        rows = [(bytes(key), bytes(value)) for key, value in self.items()]
        return b"".join(key for key, _ in rows), b"".join(value for _, value in rows)

    def write(self, rows: Sequence[tuple[bytes, bytes]]) -> int:
        """Write the rows in order; how many, which is fewer only where the map is full."""
        done = 0
        try:
            while done < len(rows):
                part = rows[done : done + _AT_ONCE]
                keys, values = zip(*part, strict=True)
                syscalls.update_batch(self.fd, b"".join(keys), b"".join(values), len(part))
                done += len(part)
        except syscalls.BatchError as error:
            done += error.done
            if error.errno not in _NO_BATCHES + _FULL:
                raise self._failed("written", error) from None
        # What a batch could not do, single writes do or say why not.
        return done + self.write_one_by_one(rows[done:])

    def write_one_by_one(self, rows: Sequence[tuple[bytes, bytes]]) -> int:
        done = 0
        try:
            for key, value in rows:
                syscalls.update(self.fd, key, value)
                done += 1
        except OSError as error:
            if error.errno not in _FULL:
                raise self._failed("written", error) from None
        return done

    def delete(self, keys: Sequence[bytes]) -> None:
        """Delete the keys; one that is not there is no error."""
        done = 0
        try:
            while done < len(keys):
                part = keys[done : done + _AT_ONCE]
                syscalls.delete_batch(self.fd, b"".join(part), len(part))
                done += len(part)
        except syscalls.BatchError as error:
            done += error.done
            if error.errno not in (*_NO_BATCHES, errno.ENOENT):
                raise self._failed("deleted from", error) from None
        self.delete_one_by_one(keys[done:])

    def delete_one_by_one(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            try:
                syscalls.delete(self.fd, key)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._failed("deleted from", error) from None

    def _items_in_batches(self) -> Iterator[tuple[Record, Record]]:
        key_size, value_size = sizeof(self.key), sizeof(self.value)
        at_once, position, more = _AT_ONCE, None, True
        while more:
            try:
                keys, values, after, more = syscalls.lookup_batch(
                    self.fd, position, at_once, key_size, value_size
                )
            except OSError as error:
                # A bucket of the hash with more entries than were asked for.
                if error.errno != errno.ENOSPC or at_once >= self.max_entries:
                    raise
                at_once *= 2
                continue
            position, count = after, len(keys) // key_size
            yield from zip(
                (self.key * count).from_buffer_copy(keys),
                (self.value * count).from_buffer_copy(values),
                strict=True,
            )

    def items_one_by_one(self) -> Iterator[tuple[Record, Record]]:
        key = None
        while True:
            try:
                key = syscalls.next_key(self.fd, key, sizeof(self.key))
                value = syscalls.lookup(self.fd, key, sizeof(self.value))
            except FileNotFoundError:
                return
            except OSError as error:
                raise self._failed("read", error) from None
            # An array of one, so that a plain number comes out as in batches.
            (typed,) = (self.key * 1).from_buffer_copy(key)
            yield typed, self.value.from_buffer_copy(value)

    def _failed(self, done: str, error: OSError) -> DataPlaneError:
        return DataPlaneError(
            f"map {self.name} could not be {done}: {error.strerror}; "
            "run as root, and restart the agent if this goes on"
        )
