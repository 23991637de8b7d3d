"""A gateway's way from monitor to enforce, as a value."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from policy.window import Window


class CutoverState(StrEnum):
    """The first two are under way; the others are how one ended."""

    PLANNED = "planned"
    SWITCHED = "switched"
    CONFIRMED = "confirmed"
    LAPSED = "lapsed"
    RETURNED = "returned"
    CANCELLED = "cancelled"


UNDER_WAY = (CutoverState.PLANNED, CutoverState.SWITCHED)


@dataclass(frozen=True, slots=True)
class Activity:
    """Which strangers count: those seen in the last `days`, in so many minutes at least."""

    days: int = 7
    min_minutes: int = 1

    def since(self, now: datetime) -> datetime:
        return now - timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class Cutover:
    """The latest of a gateway.

    The kernels enforce from `at` to `until` by themselves; confirmed, for good. `revision` is the
    one that tells them. `strangers` are sources neither registered nor signed off, as they were
    last counted. `author` is the identity of whoever planned it.
    """

    gateway_id: int
    gateway: str
    state: CutoverState
    at: datetime
    until: datetime
    activity: Activity
    most_dropped_sources: int
    override: str | None
    strangers: int
    revision: int
    planned: datetime
    planned_by: str
    author: str
    ended: datetime | None = None
    ended_by: str | None = None
    reason: str | None = None

    @property
    def window(self) -> Window:
        return Window(self.at, self.until)

    def shown(self, now: datetime) -> CutoverState:
        """What time has made of it, noted already or not."""
        if self.state not in UNDER_WAY:
            return self.state
        if now >= self.until:
            return CutoverState.LAPSED
        return CutoverState.SWITCHED if now >= self.at else self.state

    def under_way(self, now: datetime) -> bool:
        return self.shown(now) in UNDER_WAY

    def next_step(self, now: datetime) -> datetime | None:
        """When time will make something else of it."""
        match self.shown(now):
            case CutoverState.PLANNED:
                return self.at
            case CutoverState.SWITCHED:
                return self.until
        return None
