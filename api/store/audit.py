"""Rows of the audit trail, which are added and never changed, and where its chain ends."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, event, insert, select, true, update
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.schema import Table

from api.chain import Link
from api.records import AuditFilter, AuditRecord
from api.store.schema import audit, registry

# Tables whose rows follow from a recorded change, or are no change that anybody makes.
_UNRECORDED = {
    *("audit", "changes", "event_log", "events", "registry", "replays", "reports", "revisions"),
    *("leases", "reminders", "silent_routers"),
}
_CHANGED = "peergate_changed"


def watch(engine: Engine) -> None:
    """From now on `changed` knows which tables a transaction wrote to."""

    def note(connection: Connection, statement: object, *_: object) -> None:
        changed = connection.get_execution_options().get(_CHANGED)
        if changed is not None and isinstance(statement, UpdateBase):
            table = statement.table
            changed.add(table.name if isinstance(table, Table) else str(table))

    event.listen(engine, "after_execute", note)


def watched() -> dict[str, object]:
    """What a connection's options need for that, new for each transaction."""
    return {_CHANGED: set()}


def changed(connection: Connection) -> set[str]:
    """The tables written to, of those whose changes need a record."""
    names: set[str] = connection.get_execution_options()[_CHANGED]
    return names - _UNRECORDED


def head(connection: Connection) -> Link:
    """The last record, as the registry's own row knows it."""
    row = connection.execute(select(registry.c.audit_number, registry.c.audit_hash)).one()
    return Link(row.audit_number, row.audit_hash)


def save_head(connection: Connection, link: Link) -> None:
    connection.execute(update(registry).values(audit_number=link.number, audit_hash=link.hash))


def append(connection: Connection, records: Sequence[AuditRecord]) -> None:
    connection.execute(insert(audit), [_columns(record) for record in records])


def after(connection: Connection, number: int, limit: int) -> tuple[AuditRecord, ...]:
    """Records above a number, in the order of their numbers."""
    query = select(audit).where(audit.c.number > number).order_by(audit.c.number).limit(limit)
    return tuple(_record(row) for row in connection.execute(query))


def newest(
    connection: Connection, wanted: AuditFilter, below: int | None, limit: int
) -> tuple[AuditRecord, ...]:
    """The latest first, of those below a number where one is given."""
    of = audit.c
    query = (
        select(audit)
        .where(
            true() if below is None else of.number < below,
            true() if wanted.subject is None else of.subject == wanted.subject,
            true() if wanted.actor is None else of.actor == wanted.actor,
            true() if wanted.action is None else of.action == wanted.action,
            true() if wanted.since is None else of.time >= wanted.since,
            true() if wanted.until is None else of.time < wanted.until,
        )
        .order_by(of.number.desc())
        .limit(limit)
    )
    return tuple(_record(row) for row in connection.execute(query))


def _record(row: Row[Any]) -> AuditRecord:
    return AuditRecord(**row._mapping)


def _columns(record: AuditRecord) -> dict[str, Any]:
    return {column.name: getattr(record, column.name) for column in audit.columns}
