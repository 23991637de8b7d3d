"""The audit trail, read: what is wanted of it, or all of it."""

from collections.abc import Iterator

from api.chain import Link
from api.records import AuditFilter, AuditRecord
from api.registry.core import Read
from api.store import audit

_BATCH = 1000


def newest(
    read: Read, wanted: AuditFilter, below: int | None, limit: int
) -> tuple[AuditRecord, ...]:
    """The latest first, of those below a number where one is given."""
    return audit.newest(read.connection, wanted, below, limit)


def head(read: Read) -> Link:
    """Where the chain ends, as the registry's own row says."""
    return audit.head(read.connection)


def export(read: Read, after: int) -> Iterator[tuple[AuditRecord, ...]]:
    """All records above a number, the oldest first, batch by batch."""
    while batch := audit.after(read.connection, after, _BATCH):
        yield batch
        after = batch[-1].number
