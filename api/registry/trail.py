"""What one change adds to the audit trail: who did what to whom, before and after."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from pydantic import BaseModel

from api import chain
from api.records import Actor, AuditRecord, Json
from api.store import audit
from api.store.engine import Connection
from policy.window import rfc3339

# So many records are written at once, and none is held longer: a change may have a million.
_BATCH = 1000


class Trail:
    """The records of one transaction, which has the registry's row to itself. `actions` are how
    many there are of each."""

    def __init__(self, connection: Connection, now: datetime, actor: Actor) -> None:
        self._connection = connection
        self._now = now
        self._of, self._actor = actor, _written(actor)
        self.actions: Counter[str] = Counter()
        self._link: chain.Link | None = None
        self._pending: list[AuditRecord] = []

    def add(self, actor: Actor, action: str, subject: str, before: object, after: object) -> None:
        """`before` and `after` are values of the registry; None where there is none."""
        if actor is not self._of:
            self._of, self._actor = actor, _written(actor)
        link = self._link or audit.head(self._connection)
        what = (action, subject, plain(before), plain(after))
        record = AuditRecord(link.number + 1, self._now, *self._actor, *what, hash="")
        self._link = chain.following(link, content(record))
        self.actions[action] += 1
        self._pending.append(replace(record, hash=self._link.hash))
        if len(self._pending) == _BATCH:
            self._write()

    def close(self) -> None:
        """Nothing may be added after this. Raises RuntimeError for a change without a record."""
        if self._link is not None:
            self._write()
            audit.save_head(self._connection, self._link)
        elif unrecorded := audit.changed(self._connection):
            names = ", ".join(sorted(unrecorded))
            raise RuntimeError(f"a defect: {names}: changed without an audit record")

    def _write(self) -> None:
        if self._pending:
            audit.append(self._connection, self._pending)
            self._pending.clear()


def _written(actor: Actor) -> tuple[str, int | None, str | None, str | None, str | None]:
    origin = actor.origin
    return (
        actor.name,
        actor.token,
        None if actor.role is None else str(actor.role),
        None if origin is None else str(origin.address),
        None if origin is None else origin.request,
    )


def content(record: AuditRecord) -> dict[str, Json]:
    """The record as it is exported, without its hash; what is hashed."""
    return {
        "number": record.number,
        "time": rfc3339(record.time),
        "actor": {"name": record.actor, "role": record.role, "token": record.token},
        "from": record.address,
        "request": record.request,
        "action": record.action,
        "subject": record.subject,
        "before": record.before,
        "after": record.after,
    }


def plain(value: object) -> Json:
    """A value of the registry as JSON, with all of its fields."""
    if value is None or type(value) in (str, int, bool):
        return value
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    match value:
        case str():
            return str(value)
        case datetime():
            return rfc3339(value)
        case BaseModel():
            return value.model_dump(mode="json")
        case Mapping():
            return {str(name): plain(each) for name, each in value.items()}
        case tuple() | list():
            return [plain(each) for each in value]
        case IPv4Address() | IPv6Address() | IPv4Network() | IPv6Network():
            return str(value)
    raise TypeError(f"{type(value).__name__}: an audit record cannot hold this")
