"""News from the process that wrote them to all others, through PostgreSQL."""

import asyncio
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, func, select

from api.errors import UnavailableError
from api.store.held import shut


class Channel(StrEnum):
    """What is told of: a revision's number, that of an event, or of a question to a router."""

    REVISION = "peergate_revision"
    EVENT = "peergate_event"
    QUESTION = "peergate_question"


Told = Mapping[Channel, Callable[[int], None]]
_NEWEST = {
    Channel.REVISION: "SELECT revision FROM registry",
    Channel.EVENT: "SELECT last FROM event_log",
    Channel.QUESTION: "SELECT coalesce(max(id), 0) FROM questions",
}
# Seconds in which there was nothing to hear, after which the server is asked whether it is there.
_QUIET = 2.0
# So often so many seconds are waited for an answer: a process that itself stood still meanwhile
# finds it in one of the later turns.
_TURNS = 5
_TURN = 2.0


def send(connection: Connection, channel: Channel, number: int) -> None:
    """Heard when the transaction is committed, never before; on SQLite by nobody."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(channel.value, str(number))))


async def listen(engine: Engine, told: Told, cut: Callable[[], None]) -> None:
    """Returns never; raises UnavailableError when the connection is lost.

    A server that stands still, with all connections open, lets nobody know: where it does not
    answer here, `cut` is called, so that nobody waits for it elsewhere.
    """
    _, parameters = engine.dialect.create_connect_args(engine.url)
    try:
        async with await psycopg.AsyncConnection.connect(**parameters, autocommit=True) as own:
            for channel in told:
                await _ask(own, f"LISTEN {channel}", cut)
            # What was told while nobody listened.
            for channel, tell in told.items():
                found = await _ask(own, _NEWEST[channel], cut)
                for (number,) in await found.fetchall():
                    tell(number)
            while True:
                async for notice in own.notifies(timeout=_QUIET):
                    if notice.payload.isdecimal():
                        told[Channel(notice.channel)](int(notice.payload))
                await _ask(own, "SELECT 1", cut)
    except psycopg.Error as error:
        cause = " ".join(str(error).split())
        raise UnavailableError(f"the database tells of no news: {cause}") from error


async def _ask(
    own: psycopg.AsyncConnection[Any], statement: str, cut: Callable[[], None]
) -> psycopg.AsyncCursor[Any]:
    """Raises psycopg.Error, also where no answer came."""
    asked = asyncio.create_task(own.execute(statement.encode()))
    try:
        for _ in range(_TURNS):
            await asyncio.wait((asked,), timeout=_TURN)
            if asked.done():
                break
        else:
            cut()
            # To cancel it would be to ask the same server for that.
            shut(own.fileno())
        return await asked
    finally:
        asked.cancel()
