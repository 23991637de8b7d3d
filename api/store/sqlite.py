"""What is SQLite's own: one file, and processes of one machine."""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from api.errors import UnavailableError

_WRITES = "peergate_writes"
READ: dict[str, object] = {}
WRITE: dict[str, object] = {_WRITES: True}

# SQLite itself has whoever waits look again after a while, ten times a second, and the one who
# looks first is the next.
WRITERS = 1

# Starlette's thread pool runs 40 requests at a time; the rest is for background work.
_CONNECTIONS = 45
_BUSY_SECONDS = 5.0


def connected(url: str) -> Engine:
    engine = create_engine(url, pool_size=_CONNECTIONS, max_overflow=0, pool_use_lifo=True)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    # BEGIN is ours: the driver would put it off until the first write.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {round(_BUSY_SECONDS * 1000)}",
        "journal_mode = WAL",
        # A power cut must not lose a change that was acknowledged.
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def is_busy(error: BaseException | None) -> bool:
    """Whether somebody else writes, and did so for all the time that was waited."""
    return isinstance(error, sqlite3.Error) and error.sqlite_errorcode == sqlite3.SQLITE_BUSY


def copy_to(connection: Connection, file: Path) -> None:
    """The state that this transaction sees, into one file. Raises UnavailableError."""
    own = connection.connection.driver_connection
    assert isinstance(own, sqlite3.Connection)
    try:
        with closing(sqlite3.connect(file)) as copy:
            own.backup(copy)
            # Else it would want files beside it.
            copy.execute("PRAGMA journal_mode = DELETE").close()
    except sqlite3.Error as error:
        raise UnavailableError(f"{file}: cannot be written: {error}") from error
