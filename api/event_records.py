"""What happened, and who is told of it, as values."""

from dataclasses import dataclass
from datetime import datetime

from api.event_types import EventType
from api.records import Json


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; no secrets in it.

    `subject` names what it happened to: a peer's or token's id, a gateway's or router's name. Where
    one change did the same to many, one event tells of all `count`, and names none.
    """

    type: EventType
    subject: str | None
    count: int
    content: dict[str, Json]


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """An event that is committed. Numbers go up by one, in the order of the commits.

    `revision` is the one that the change made, if it made one.
    """

    number: int
    time: datetime
    author: str
    revision: int | None
    event: Event


@dataclass(frozen=True, slots=True)
class Reach:
    """Events are kept above `floor`; `last` is the newest."""

    floor: int
    last: int


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where events are sent. `types`: only these; none are all.

    Events up to the number `place` are done. `failing_since` is when the next one was first tried
    in vain, `failures` how often it was, `next_try` when it is tried again. One that has `failed`
    is not tried any more. `former_secret` signs too, until `former_until`.
    """

    id: int
    name: str
    url: str
    types: frozenset[EventType]
    secret: str
    enabled: bool
    version: int
    created: datetime
    created_by: str
    place: int
    failures: int = 0
    failing_since: datetime | None = None
    next_try: datetime | None = None
    failed: datetime | None = None
    error: str | None = None
    delivered: datetime | None = None
    former_secret: str | None = None
    former_until: datetime | None = None
