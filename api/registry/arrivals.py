"""One event when a revision has come to all routers."""

from api.event_types import EventType
from api.registry.core import Aside, Write
from api.store import arrivals, heads, log
from api.store.engine import Connection


def tell(write: Write | Aside) -> None:
    """Of the newest revision that is in force on all routers which are not silent, if it was not
    told of; those before it are covered by it. To be among the last of a transaction."""
    told = arrivals.told(write.connection)
    found = arrivals.reached(write.connection)
    if found is None or found[0] <= told:
        return
    reached, routers = found
    revision = _in_force(write.connection, reached)
    if revision <= told:
        return
    made = arrivals.made(write.connection, revision)
    if made is None:
        return  # reported by routers that are ahead of a registry that was restored
    arrivals.tell(write.connection, revision)
    seconds = round(max((write.now - made).total_seconds(), 0), 3)
    write.tell(EventType.REVISION_APPLIED, revision, {"routers": routers, "seconds": seconds})


def _in_force(connection: Connection, reached: int) -> int:
    """The newest revision that all have in force whose number is `reached`.

    Under a staged roll-out the rest has the head's number, but nothing from the first revision on
    that waited for its release then.
    """
    head = heads.head(connection)
    if reached < head.floor:
        return 0  # what waited then is not known any more
    rule = log.rollout_at(connection, reached, head.rollout)
    if rule is None or reached <= rule.released:
        return reached
    if rule.released < head.floor:
        return rule.released
    waits = log.first_waiting(connection, rule.released)
    return reached if waits is None else min(reached, waits - 1)
