"""Whom a cut-over cuts off, by what routers say of strangers."""

from api.cutover_records import Cutover
from api.registry.core import Read, Write
from api.registry.readiness import Unsettled, left_of
from api.stranger_records import StrangerFilter


def dropped(state: Read | Write, cutover: Cutover) -> Unsettled:
    """Strangers that passed before the switch and are dropped since, by what routers say: those
    neither registered nor signed off by now."""
    wanted = StrangerFilter(
        gateway=cutover.gateway,
        since=cutover.at,
        first_before=cutover.at,
        dropped_since=cutover.at,
        min_minutes=cutover.activity.min_minutes,
    )
    return left_of(state, wanted, state.now)


def too_many(cutover: Cutover, found: Unsettled) -> bool:
    return 0 < cutover.most_dropped_sources < found.sources
