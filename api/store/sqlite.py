"""What is SQLite's own: one file, and processes of one machine."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from api.errors import UnavailableError

_WRITES = "peergate_writes"
READ: dict[str, object] = {}
WRITE: dict[str, object] = {_WRITES: True}

# Starlette's thread pool runs 40 requests at a time; the rest is for background work.
_CONNECTIONS = 45
_BUSY_SECONDS = 5.0


def connected(url: str) -> Engine:
    engine = create_engine(url, pool_size=_CONNECTIONS, max_overflow=0)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


class Turns:
    """Writers of this process come one after the other: SQLite itself has whoever waits look
    again after a while, ten times a second, and the one who looks first is the next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Raises UnavailableError where it does not come in time."""
        if not self._lock.acquire(timeout=_BUSY_SECONDS):
            raise UnavailableError("the database does not answer: another write is going on")
        try:
            yield
        finally:
            self._lock.release()


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
