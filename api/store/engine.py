"""Connections and transactions: readers see one state, writers come one after the other."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from api.errors import UnavailableError
from api.store import audit, notices, postgresql, sqlite
from api.store.held import Held
from api.store.turns import Turns

# Connection is handed through the registry, which does not look into it.
__all__ = ["Connection", "Store"]


class Store:
    """The database behind one URL. Nothing is opened before the first transaction.

    Where it `tells`, one may listen for other processes' writes; else one must look.
    """

    def __init__(self, url: str) -> None:
        self.tells = url.startswith("postgresql:")
        engine = postgresql if self.tells else sqlite
        self._engine: Engine = engine.connected(url)
        self._held = Held()
        if self.tells:
            event.listen(self._engine, "connect", self._held.add, insert=True)
        audit.watch(self._engine)
        self._read: dict[str, object] = engine.READ
        self._write: dict[str, object] = engine.WRITE
        self._is_busy = engine.is_busy
        self._turns = Turns(engine.WRITERS)

    @property
    def engine(self) -> Engine:
        return self._engine

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One state of the database, however many statements."""
        with self._transaction(self._read) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Committed as a whole when the block ends, undone when it raises."""
        with (
            self._turns.turn(),
            self._transaction({**self._write, **audit.watched()}) as connection,
        ):
            yield connection

    @contextmanager
    def set_up(self) -> Iterator[Connection]:
        """A write for tables: alone, although there may be no head yet that could be locked."""
        with self.write() as connection:
            if self.tells:
                postgresql.prepare_set_up(connection)
            yield connection

    async def listen(self, told: notices.Told) -> None:
        """Tells of the newest of each kind and of each further one, until the database is lost."""
        await notices.listen(self._engine, told, self._held.cut)

    @contextmanager
    def _transaction(self, options: dict[str, object]) -> Iterator[Connection]:
        try:
            with (
                self._engine.connect().execution_options(**options) as connection,
                connection.begin(),
            ):
                yield connection
        except (IntegrityError, DataError):
            raise  # not the database's fault
        except DBAPIError as error:
            if self._is_busy(error.orig):
                raise UnavailableError(
                    "another process is writing, which takes long: nothing was changed, try again",
                    "busy",
                ) from error
            # A driver's message may have several lines.
            cause = " ".join(str(error.orig).split())
            raise UnavailableError(f"the database does not answer: {cause}") from error
        except PoolTimeoutError as error:
            raise UnavailableError(
                "the database does not answer: all connections to it are in use"
            ) from error

    def close(self) -> None:
        self._engine.dispose()
