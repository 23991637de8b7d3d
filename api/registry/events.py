"""What happened, as others may follow it: collected by a change, kept with it, forgotten later."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from api.errors import ConflictError, GoneError
from api.event_records import Event, KeptEvent, Reach
from api.event_types import EventType
from api.records import Json
from api.store import events, notices
from api.store.engine import Connection
from api.store.notices import Channel

# Of what one change does more often than that, one event tells of all.
_EACH = 100
# At most so many are kept, none for longer: what dashboards and webhooks may be behind by.
KEPT = 200_000
KEPT_FOR = timedelta(days=30)


@dataclass(slots=True)
class News:
    """The events of one change, however many things it does."""

    _each: list[tuple[Event, str | None]] = field(default_factory=list)
    _counts: Counter[EventType] = field(default_factory=Counter)
    # Whether numbers are to be given that were never given before, also not before a restore.
    leaps: bool = False

    def add(
        self,
        type_: EventType,
        subject: object = None,
        content: Mapping[str, Json] | None = None,
        count: int = 1,
        author: str | None = None,
    ) -> None:
        """With a `count` above one: of so many things, none of which is named. Without an author
        it is the change's."""
        self._counts[type_] += count
        if self._counts[type_] <= _EACH:
            shown = None if subject is None else str(subject)
            self._each.append((Event(type_, shown, count, dict(content or {})), author))

    def many(self, type_: EventType) -> bool:
        """Whether what one more of these would say is left out."""
        return self._counts[type_] >= _EACH

    def save(
        self, connection: Connection, *, now: datetime, author: str, revision: int | None
    ) -> int | None:
        """The number of the newest, once they are written; to be the last of a transaction."""
        found = [(e, by or author) for e, by in self._each if self._counts[e.type] <= _EACH]
        found += [(Event(t, None, n, {}), author) for t, n in self._counts.items() if n > _EACH]
        if not found:
            return None
        if self.leaps:
            events.leap(connection, now)
        last = events.append(connection, found, now=now, revision=revision)
        notices.send(connection, Channel.EVENT, last)
        return last


def start(
    connection: Connection, after: int | None, since: datetime | None, *, earlier: bool
) -> int:
    """The number after which whoever asks like this goes on.

    Where nothing is said: before all that is kept if they want `earlier` ones, else at the newest.
    """
    reach = events.reach(connection)
    if after is not None:
        check_reach(reach, after)
        return after
    if since is not None:
        return max(events.last_before(connection, since) or 0, reach.floor)
    return reach.floor if earlier else reach.last


def after(connection: Connection, number: int, limit: int) -> tuple[KeptEvent, ...]:
    """The next ones, at most `limit`. Raises GoneError where one of them is not kept any more."""
    check_reach(events.reach(connection), number)
    return events.after(connection, number, limit)


def check_reach(reach: Reach, number: int) -> None:
    if number > reach.last:
        raise ConflictError(
            f"event {number} is ahead of this registry, whose newest is {reach.last}: it was "
            "restored from a backup. Start anew, without a number",
            "event-ahead",
        )
    if number < reach.floor:
        raise GoneError(
            f"events are kept from number {reach.floor + 1} on: start anew, without a number",
            "events-forgotten",
        )
