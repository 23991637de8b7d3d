"""Many peers at once, of which memory never holds more than some."""

from collections.abc import Iterator

from api.records import Gateway, Peer, State
from api.registry.core import Read
from api.store import gateways as gateway_rows
from api.store import peers as peer_rows


def every(read: Read) -> Iterator[tuple[Peer, ...]]:
    """All peers of all states, by id."""
    return peer_rows.batches(read.connection)


def approved(read: Read) -> Iterator[tuple[Peer, ...]]:
    return peer_rows.batches(read.connection, State.APPROVED)


def gateways(read: Read) -> tuple[Gateway, ...]:
    return gateway_rows.every(read.connection)
