"""A process's connections to the database, to be let go of where it stands still."""

import os
import socket
from contextlib import suppress
from threading import Lock
from typing import Any
from weakref import WeakSet

import psycopg
from sqlalchemy.pool import ConnectionPoolEntry


class Held:
    """Those that are open, whoever uses them. For any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._connections: WeakSet[psycopg.Connection[Any]] = WeakSet()

    def add(self, connection: psycopg.Connection[Any], _entry: ConnectionPoolEntry) -> None:
        with self._lock:
            self._connections.add(connection)

    def cut(self) -> None:
        """Whoever waits for an answer there has lost its connection."""
        with self._lock:
            connections = list(self._connections)
        for each in connections:
            with suppress(psycopg.OperationalError, OSError):
                shut(each.fileno())


def shut(number: int) -> None:
    """Ends the connection behind a file descriptor, which stays its owner's to close."""
    with socket.socket(fileno=os.dup(number)) as own:
        own.shutdown(socket.SHUT_RDWR)
