"""What a router's report tells that the one before it did not, and what its silence tells."""

from datetime import datetime, timedelta

from api.event_types import EventType
from api.records import Json, Report
from api.registry import arrivals
from api.registry.core import Aside, Registry, Write
from api.registry.standing import clock_offset, is_clock_off
from api.store import silences
from policy.window import rfc3339

# Four reports of an agent that sends them as often as it does unless told otherwise.
SILENT_AFTER = timedelta(minutes=2)


def tell(
    write: Write | Aside, before: Report | None, after: Report, since: datetime | None
) -> None:
    """`since` is from when on it was silent, if it was."""
    if before is None:
        write.tell(EventType.ROUTER_NEW, after.router, {"revision": after.revision})
        return
    if since is not None:
        write.tell(EventType.ROUTER_BACK, after.router, {"silent_since": rfc3339(since)})
    was, is_ = _attached(before.content), _attached(after.content)
    if gone := sorted(was - is_):
        write.tell(EventType.ROUTER_DETACHED, after.router, {"interfaces": gone})
    if come := sorted(is_ - was):
        write.tell(EventType.ROUTER_ATTACHED, after.router, {"interfaces": come})
    held = after.content["held"]
    # What it says of how much it holds back is another with each change that comes.
    if (held is None) != (before.content["held"] is None):
        type_ = EventType.ROUTER_RELEASED if held is None else EventType.ROUTER_HELD
        write.tell(type_, after.router, {"held": held})
    if repairs := _more(before, after, "repairs"):
        write.tell(EventType.ROUTER_REPAIRED, after.router, {"repairs": repairs})
    if times := _more(before, after, "put_back"):
        write.tell(EventType.ROUTER_PUT_BACK, after.router, {"times": times})
    if is_clock_off(before) != is_clock_off(after):
        type_ = EventType.ROUTER_CLOCK_OFF if is_clock_off(after) else EventType.ROUTER_CLOCK_RIGHT
        write.tell(type_, after.router, {"offset": clock_offset(after)})


def _more(before: Report, after: Report, what: str) -> int:
    """How much its agent has counted since. One that was started anew counts from nothing."""
    was, is_ = before.content.get(what, 0), after.content.get(what, 0)
    more: int = is_ - was if is_ >= was else is_
    return more


def find_silent(registry: Registry) -> None:
    """Whichever process comes first tells of it."""
    with registry.read() as read:
        found = silences.due(read.connection, read.now - SILENT_AFTER)
    if not found:
        return
    last_heard: dict[str, datetime] = dict(found)
    with registry.aside("peergate") as write:
        for name in sorted(silences.add(write.connection, found)):
            told = {"last_heard": rfc3339(last_heard[name])}
            write.tell(EventType.ROUTER_SILENT, name, told)
        # For one of these the others may have been waited for.
        arrivals.tell(write)


def _attached(content: Json) -> set[str]:
    return {each["name"] for each in content["interfaces"] if each["attached"]}
