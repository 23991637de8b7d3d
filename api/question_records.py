"""Values of questions to routers."""

from dataclasses import dataclass
from datetime import datetime

from api.records import Json


@dataclass(frozen=True, slots=True)
class Asked:
    """What a router is asked: the packet in the words of policy/packets.py, as of `now`, or when
    it comes to it."""

    packet: Json
    now: datetime | None


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """Somebody waits for the answer."""

    id: int
    router: str
    taken: bool
    answered: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a question: whether its router took it, and what it said."""

    taken: bool
    answer: dict[str, Json] | None
