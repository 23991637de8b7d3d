"""Which ends of peers were told of, and how early: each once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from api.records import State
from api.store.schema import peers, reminders


@dataclass(frozen=True, slots=True)
class End:
    """That this peer ends then, told so many days before; 0 is at the end."""

    peer: int
    end: datetime
    days: int


def due(connection: Connection, now: datetime, days: int, limit: int) -> tuple[End, ...]:
    """Approved peers that end within so many days, and of which that was not told yet."""
    told = select(reminders.c.peer_id).where(
        reminders.c.peer_id == peers.c.id,
        reminders.c.valid_until == peers.c.valid_until,
        reminders.c.days == days,
    )
    query = (
        select(peers.c.id, peers.c.valid_until)
        .where(
            peers.c.state == State.APPROVED.value,
            peers.c.listed,
            peers.c.valid_until <= now + timedelta(days=days),
            ~told.exists(),
        )
        .order_by(peers.c.id)
        .limit(limit)
    )
    return tuple(End(row.id, row.valid_until, days) for row in connection.execute(query))


def add(connection: Connection, ends: Sequence[End]) -> None:
    engine = postgresql if connection.dialect.name == "postgresql" else sqlite
    rows = [{"peer_id": e.peer, "valid_until": e.end, "days": e.days} for e in ends]
    connection.execute(engine.insert(reminders).on_conflict_do_nothing(), rows)


def forget(connection: Connection, before: datetime) -> None:
    connection.execute(delete(reminders).where(reminders.c.valid_until <= before))
