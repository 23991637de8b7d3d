"""Rows of events, numbered in the order in which they are committed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from api.event_records import Event, KeptEvent, Reach
from api.event_types import EventType
from api.store.schema import event_log, events

# Where the clock is behind the numbers.
_LEAP = 1_000_000


def _kept(row: Row[Any]) -> KeptEvent:
    event = Event(EventType(row.type), row.subject, row.things, row.content)
    return KeptEvent(row.number, row.time, row.author, row.revision, event)


def append(
    connection: Connection,
    found: Sequence[tuple[Event, str]],
    *,
    now: datetime,
    revision: int | None,
) -> int:
    """Each with its author; the newest number. To be the last of a transaction: all that come
    after it wait here."""
    taken = update(event_log).values(last=event_log.c.last + len(found)).returning(event_log.c.last)
    last: int = connection.execute(taken).scalar_one()
    rows = [
        {
            "number": number,
            "time": now,
            "author": author,
            "revision": revision,
            "type": event.type.value,
            "subject": event.subject,
            "things": event.count,
            "content": event.content,
        }
        for number, (event, author) in enumerate(found, last - len(found) + 1)
    ]
    connection.execute(insert(events), rows)
    return last


def leap(connection: Connection, now: datetime) -> None:
    """Numbers go on above all that this registry can have given in a history that a restore ended,
    and whoever has one of before starts anew. Milliseconds, since no history had more events."""
    least = reach(connection).last + _LEAP
    over = max(least, int(now.timestamp() * 1000))
    connection.execute(update(event_log).values(floor=over, last=over))


def reach(connection: Connection) -> Reach:
    row = connection.execute(select(event_log.c.floor, event_log.c.last)).one()
    return Reach(row.floor, row.last)


def after(connection: Connection, number: int, limit: int) -> tuple[KeptEvent, ...]:
    query = select(events).where(events.c.number > number).order_by(events.c.number).limit(limit)
    return tuple(_kept(row) for row in connection.execute(query))


def last_before(connection: Connection, moment: datetime) -> int | None:
    """The number of the newest one from before a moment, among those that are kept."""
    query = select(func.max(events.c.number)).where(events.c.time < moment)
    number: int | None = connection.execute(query).scalar_one()
    return number


def forget(connection: Connection, before: datetime, kept: int) -> None:
    """Those that happened before a moment go, and all but the newest `kept`."""
    found = reach(connection)
    floor = max(found.floor, found.last - kept, last_before(connection, before) or 0)
    if floor > found.floor:
        connection.execute(delete(events).where(events.c.number <= floor))
        connection.execute(update(event_log).values(floor=floor))
