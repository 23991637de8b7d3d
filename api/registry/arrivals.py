"""One event when a revision has come to all routers."""

from api.event_types import EventType
from api.registry.core import Aside, Write
from api.store import arrivals


def tell(write: Write | Aside) -> None:
    """Of the newest revision that all routers have which are not silent, if it was not told of;
    those before it are covered by it. To be among the last of a transaction."""
    told = arrivals.told(write.connection)
    found = arrivals.reached(write.connection)
    if found is None or found[0] <= told:
        return
    revision, routers = found
    made = arrivals.made(write.connection, revision)
    if made is None:
        return  # reported by routers that are ahead of a registry that was restored
    arrivals.tell(write.connection, revision)
    seconds = round(max((write.now - made).total_seconds(), 0), 3)
    write.tell(EventType.REVISION_APPLIED, revision, {"routers": routers, "seconds": seconds})
