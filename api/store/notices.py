"""News from the process that wrote them to all others, through PostgreSQL."""

from collections.abc import Callable, Mapping
from enum import StrEnum

import psycopg
from sqlalchemy import Connection, Engine, func, select

from api.errors import UnavailableError


class Channel(StrEnum):
    """What is told of: a revision's number, or that of an event."""

    REVISION = "peergate_revision"
    EVENT = "peergate_event"


Told = Mapping[Channel, Callable[[int], None]]
_NEWEST = {
    Channel.REVISION: "SELECT revision FROM registry",
    Channel.EVENT: "SELECT last FROM event_log",
}


def send(connection: Connection, channel: Channel, number: int) -> None:
    """Heard when the transaction is committed, never before; on SQLite by nobody."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(channel.value, str(number))))


async def listen(engine: Engine, told: Told) -> None:
    """Returns never; raises UnavailableError when the connection is lost."""
    _, parameters = engine.dialect.create_connect_args(engine.url)
    try:
        async with await psycopg.AsyncConnection.connect(**parameters, autocommit=True) as own:
            for channel in told:
                await own.execute(f"LISTEN {channel}")
            # What was told while nobody listened.
            for channel, tell in told.items():
                found = await own.execute(_NEWEST[channel])
                for (number,) in await found.fetchall():
                    tell(number)
            async for notice in own.notifies():
                if notice.payload.isdecimal():
                    told[Channel(notice.channel)](int(notice.payload))
    except psycopg.Error as error:
        cause = " ".join(str(error).split())
        raise UnavailableError(f"the database tells of no news: {cause}") from error
