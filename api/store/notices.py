"""News of a revision from the process that wrote it to all others, through PostgreSQL."""

from collections.abc import Callable

import psycopg
from sqlalchemy import Connection, Engine, func, select

from api.errors import UnavailableError

_CHANNEL = "peergate_revision"


def send(connection: Connection, revision: int) -> None:
    """Heard when the transaction is committed, never before; on SQLite by nobody."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(_CHANNEL, str(revision))))


async def listen(engine: Engine, told: Callable[[int], None]) -> None:
    """Returns never; raises UnavailableError when the connection is lost."""
    _, parameters = engine.dialect.create_connect_args(engine.url)
    try:
        async with await psycopg.AsyncConnection.connect(**parameters, autocommit=True) as own:
            await own.execute(f"LISTEN {_CHANNEL}")
            # What was told while nobody listened.
            found = await own.execute("SELECT revision FROM registry")
            for (revision,) in await found.fetchall():
                told(revision)
            async for notice in own.notifies():
                if notice.payload.isdecimal():
                    told(int(notice.payload))
    except psycopg.Error as error:
        cause = " ".join(str(error).split())
        raise UnavailableError(f"the database tells of no revisions: {cause}") from error
