"""What happened, as it is shown and sent."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from api.event_records import KeptEvent
from api.event_types import EventType
from api.records import Json


class EventView(BaseModel):
    id: int = Field(description="goes up by one with each event of this registry")
    time: datetime
    type: EventType
    author: str
    subject: str | None = Field(
        description="what it happened to: a peer's or token's id, a gateway's or router's name"
    )
    count: int = Field(
        description="above 1: one change did this to so many, and this one event tells of all"
    )
    revision: int | None = Field(description="of the allowlist, if the change made one")
    content: dict[str, Json]

    @classmethod
    def of(cls, kept: KeptEvent) -> Self:
        return cls(
            id=kept.number,
            time=kept.time,
            type=kept.event.type,
            author=kept.author,
            subject=kept.event.subject,
            count=kept.event.count,
            revision=kept.revision,
            content=kept.event.content,
        )
