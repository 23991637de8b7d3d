"""When routers saw packets of a peer: coarsely, and no revision of anything."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from api.errors import ConflictError
from api.records import Peer
from api.registry.core import Read, Registry, Write
from api.store import sightings


def note(registry: Registry, author: str, of: str, seen: Mapping[datetime, Sequence[int]]) -> None:
    """What a router says, by time; a time that is still to come counts as now."""
    with registry.read() as read:
        if of != read.head.registry:
            raise ConflictError(
                f"this registry is {read.head.registry}, these are peers of {of}", "other-registry"
            )
    for time, numbers in sorted(seen.items()):
        with registry.aside(author) as aside:
            sightings.put(aside.connection, min(time, aside.now), numbers)


def last(state: Read | Write, peers: Sequence[Peer]) -> dict[int, datetime]:
    """By id; peers that no router has seen are not in it."""
    return sightings.of(state.connection, [peer.id for peer in peers])
