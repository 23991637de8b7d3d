"""When routers saw packets of a peer: coarsely, and no revision of anything."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from api.errors import ConflictError
from api.records import Peer
from api.registry.core import Read, Registry, Write
from api.store import routers, sightings


def note(registry: Registry, router: str, of: str, seen: Mapping[datetime, Sequence[int]]) -> None:
    """What a router says of its own peers, by time; a time that is still to come counts as now."""
    with registry.read() as read:
        if of != read.head.registry:
            raise ConflictError(
                f"this registry is {read.head.registry}, these are peers of {of}", "other-registry"
            )
        labels = routers.labels(read.connection, {router}).get(router, {})
        assigned = read.assignments.at(read.connection, read.head, read.head.revision)
        view = assigned.view(router, labels)
    carried = None if view.whole else view.gateways
    for time, numbers in sorted(seen.items()):
        with registry.aside(router) as aside:
            sightings.put(aside.connection, min(time, aside.now), numbers, carried)


def last(state: Read | Write, peers: Sequence[Peer]) -> dict[int, datetime]:
    """By id; peers that no router has seen are not in it."""
    return sightings.of(state.connection, [peer.id for peer in peers])
