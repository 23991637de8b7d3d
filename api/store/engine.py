"""Connections and transactions: readers see one state, writers come one after the other."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import ConnectionPoolEntry

from api.errors import UnavailableError

# Connection is handed through the registry, which does not look into it.
__all__ = ["Connection", "Store"]

_WRITES = "peergate_writes"
# Starlette's thread pool runs 40 requests at a time; the rest is for background work.
_CONNECTIONS = 45
_BUSY_MS = 5000


class Store:
    """The database behind one URL. Nothing is opened before the first transaction."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, pool_size=5, max_overflow=_CONNECTIONS - 5)
        self._sqlite = self._engine.dialect.name == "sqlite"
        if self._sqlite:
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)

    @property
    def engine(self) -> Engine:
        return self._engine

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One state of the database, however many statements."""
        options: dict[str, object] = {} if self._sqlite else {"isolation_level": "REPEATABLE READ"}
        with self._transaction(options) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Committed as a whole when the block ends, undone when it raises."""
        with self._transaction({_WRITES: True}) as connection:
            yield connection

    @contextmanager
    def _transaction(self, options: dict[str, object]) -> Iterator[Connection]:
        try:
            with (
                self._engine.connect().execution_options(**options) as connection,
                connection.begin(),
            ):
                yield connection
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise UnavailableError(f"the database does not answer: {error.orig}") from error

    def close(self) -> None:
        self._engine.dispose()


def _prepare_sqlite(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    # BEGIN is ours: the driver would put it off until the first write.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {_BUSY_MS}",
        "journal_mode = WAL",
        # A power cut must not lose a change that was acknowledged.
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
