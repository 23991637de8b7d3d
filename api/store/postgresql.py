"""What is PostgreSQL's own: one server, and processes of several machines."""

from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.pool import ConnectionPoolEntry

from api.errors import SettingsError

READ: dict[str, object] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
# Whoever has waited for the head's lock sees what the one before has committed.
WRITE: dict[str, object] = {"isolation_level": "READ COMMITTED"}

# Two processes and more fit into a server's usual 100; a thread waits for a free one.
_CONNECTIONS = 20
_FREE_SECONDS = 5
# Those that wait for the head's lock have a connection each, which no reader can have.
WRITERS = 8

# What the URL does not say otherwise. A server that is gone without a word is given up after
# about ten seconds.
_DEFAULTS = {
    "client_encoding": "utf8",
    "connect_timeout": "5",
    "fallback_application_name": "peergate",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

# A process that stands still in the middle of a write must not hold up the others for good. An
# acknowledged change is on the server's disk, also where the server is set not to wait for it.
_SESSION = """
SELECT set_config('TimeZone', 'UTC', false),
       set_config('lock_timeout', '5s', false),
       set_config('idle_in_transaction_session_timeout', '60s', false),
       CASE WHEN current_setting('synchronous_commit') = 'off'
            THEN set_config('synchronous_commit', 'on', false) END
"""

# Any number, as long as it is always the same.
_SET_UP_LOCK = 7311


def connected(url: str) -> Engine:
    given = make_url(url)
    engine = create_engine(
        given.set(drivername="postgresql+psycopg", query={**_DEFAULTS, **given.query}),
        pool_size=_CONNECTIONS // 2,
        max_overflow=_CONNECTIONS // 2,
        pool_timeout=_FREE_SECONDS,
        # The one used last: a server has at hand for it what its statements need.
        pool_use_lifo=True,
        # A connection from before the server's restart is replaced, not tried.
        pool_pre_ping=True,
    )
    event.listen(engine, "connect", _prepare)
    return engine


def is_busy(error: BaseException | None) -> bool:
    """Whether somebody else writes, and did so for all the time that was waited."""
    return isinstance(error, psycopg.errors.LockNotAvailable)


def prepare_set_up(connection: Connection) -> None:
    """Raises SettingsError where the database could not hold all text."""
    connection.execute(select(func.pg_advisory_xact_lock(_SET_UP_LOCK)))
    encoding = connection.execute(select(func.current_setting("server_encoding"))).scalar_one()
    if encoding != "UTF8":
        raise SettingsError(
            f"the database has the encoding {encoding}, the registry needs UTF8: make it with "
            "`createdb --encoding UTF8 --template template0`"
        )


def _prepare(connection: psycopg.Connection[Any], _entry: ConnectionPoolEntry) -> None:
    connection.autocommit = True
    connection.execute(_SESSION)
    connection.autocommit = False
