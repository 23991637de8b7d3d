"""Rows of questions to routers."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from api.question_records import OpenQuestion, Outcome
from api.records import Json
from api.store.question_tables import questions


def add(
    connection: Connection,
    *,
    router: str,
    caller: str,
    asked: datetime,
    until: datetime,
    content: Json,
) -> int:
    made = connection.execute(
        insert(questions)
        .values(
            router=router, caller=caller, asked=asked, until=until, taken=False, content=content
        )
        .returning(questions.c.id)
    )
    number: int = made.scalar_one()
    return number


def count(
    connection: Connection, since: datetime, *, router: str, caller: str
) -> tuple[int, int, int]:
    """How many were asked since: in all, of the router, and by the caller."""
    of = questions.c
    row = connection.execute(
        select(
            func.count(),
            func.count().filter(of.router == router),
            func.count().filter(of.caller == caller),
        ).where(of.asked > since)
    ).one()
    return row[0], row[1], row[2]


def every_open(connection: Connection, now: datetime) -> tuple[OpenQuestion, ...]:
    """By id."""
    of = questions.c
    query = (
        select(of.id, of.router, of.taken, of.answer.is_not(None))
        .where(of.until > now, of.content.is_not(None))
        .order_by(of.id)
    )
    return tuple(OpenQuestion(*row) for row in connection.execute(query))


def take(connection: Connection, router: str, now: datetime, limit: int) -> list[tuple[int, Any]]:
    """Open ones of a router that it did not take yet, the oldest first: id and content."""
    of = questions.c
    query = (
        select(of.id, of.content)
        .where(of.router == router, of.until > now, ~of.taken, of.content.is_not(None))
        .order_by(of.id)
        .limit(limit)
    )
    found = [(row.id, row.content) for row in connection.execute(query)]
    if found:
        ids = [number for number, _ in found]
        connection.execute(update(questions).where(of.id.in_(ids)).values(taken=True))
    return found


def answer(connection: Connection, number: int, router: str, now: datetime, content: Json) -> bool:
    """Whether it is a question of this router that waits for its answer."""
    of = questions.c
    waits = (of.id == number, of.router == router, of.until > now)
    done = connection.execute(
        update(questions)
        .where(*waits, of.content.is_not(None), of.answer.is_(None))
        .values(answer=content)
    )
    return bool(done.rowcount)


def close(connection: Connection, number: int) -> Outcome:
    """What became of it, of which only the row stays, for the count."""
    of = questions.c
    row = connection.execute(
        select(of.taken, of.answer).where(of.id == number).with_for_update()
    ).one_or_none()
    if row is None:
        return Outcome(taken=False, answer=None)
    connection.execute(update(questions).where(of.id == number).values(content=None, answer=None))
    return Outcome(row.taken, row.answer)


def any_before(connection: Connection, before: datetime) -> bool:
    query = select(questions.c.id).where(questions.c.asked <= before).limit(1)
    return connection.execute(query).first() is not None


def forget(connection: Connection, before: datetime) -> None:
    connection.execute(delete(questions).where(questions.c.asked <= before))
