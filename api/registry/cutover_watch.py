"""What becomes of cut-overs while nobody asks: noted by whichever process comes first."""

from api.cutover_records import UNDER_WAY, Cutover, CutoverState
from api.event_types import EventType
from api.registry import cutover as steps
from api.registry import gateways
from api.registry.core import ITSELF, Registry
from api.registry.cutover_drops import dropped, too_many
from api.registry.cutover_return import give_back
from api.registry.readiness import unsettled
from api.store import cutovers

# Of new strangers an event names so many.
_NAMED = 10


def keep_time(registry: Registry) -> None:
    """Notes what the kernels have done by their own clocks."""
    with registry.read() as read:
        found = cutovers.under_way(read.connection)
        due = [each for each in found if each.shown(read.now) is not each.state]
    for each in due:
        _catch_up(registry, each)


def look_for_drops(registry: Registry) -> None:
    """One that has switched is taken back where it drops too many that passed until then."""
    with registry.read() as read:
        found = cutovers.under_way(read.connection)
        due = [
            each
            for each in found
            if each.shown(read.now) is CutoverState.SWITCHED and too_many(each, dropped(read, each))
        ]
    for each in due:
        _return(registry, each)


def look_for_strangers(registry: Registry) -> None:
    """Counted while one is under way. While it is planned, strangers that came since are told of;
    it goes on all the same."""
    with registry.read() as read:
        left = {
            each: unsettled(
                read, gateways.get(read, each.gateway), max(each.at, read.now), each.activity
            )
            for each in cutovers.under_way(read.connection)
            if each.under_way(read.now)
        }
        planned = {each for each in left if each.shown(read.now) is CutoverState.PLANNED}
    for cutover, now in left.items():
        if now.sources == cutover.strangers:
            continue
        with registry.aside(ITSELF.name) as aside:
            noted = cutovers.note_strangers(aside.connection, cutover, now.sources)
            if noted and now.sources > cutover.strangers and cutover in planned:
                first = [str(each) for each in now.addresses[:_NAMED]]
                told = {"strangers": now.sources, "first": first}
                aside.tell(EventType.CUTOVER_STRANGERS, cutover.gateway, told)


def _return(registry: Registry, due: Cutover) -> None:
    with registry.write(ITSELF, f"cut-over of {due.gateway} returned") as write:
        now = cutovers.find(write.connection, due.gateway_id)
        if now is None or now.shown(write.now) is not CutoverState.SWITCHED:
            return
        found = dropped(write, now)
        if too_many(now, found):
            why = (
                f"{found.count} sources that passed until then were dropped, and "
                f"{now.most_dropped_sources:,} were the most"
            )
            gateway = gateways.get(write, now.gateway)
            give_back(write, gateway, now, why, found)


def _catch_up(registry: Registry, due: Cutover) -> None:
    lapsed = due.shown(registry.clock()) is CutoverState.LAPSED
    cause = f"cut-over of {due.gateway} {'lapsed' if lapsed else 'switched'}"
    with registry.write(ITSELF, cause) as write:
        now = cutovers.find(write.connection, due.gateway_id)
        if now is None or now.state not in UNDER_WAY:
            return
        if steps.catch_up(write, now).state is CutoverState.LAPSED:
            steps.lapse(write, now)
