"""Webhooks, as they are sent and shown."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field

from api.event_records import Webhook
from api.event_types import EventType
from policy.document import Document, Name

Url = Annotated[str, Field(max_length=2000, examples=["https://192.0.2.80/peergate"])]
Types = Annotated[
    tuple[EventType, ...], Field(max_length=100, description="only these; none are all")
]


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def _unset() -> Any:  # noqa: ANN401  # stands for a field that was not sent
    return Field(default=None, json_schema_extra=_without_default)


class NewWebhook(Document):
    name: Name = Field(examples=["pager"])
    url: Url
    types: Types = ()


class WebhookPatch(Document):
    """What changes of a webhook; the rest stays, the secret with it."""

    url: Url = _unset()
    types: Types = _unset()
    enabled: Annotated[
        bool, Field(description="`true` also sets one going again that has failed")
    ] = _unset()


class WebhookView(BaseModel):
    name: str
    url: str
    types: list[EventType]
    enabled: bool
    state: Literal["ok", "retrying", "failed", "disabled"]
    created: datetime
    created_by: str
    place: int = Field(description="events up to this number are done")
    delivered: datetime | None = Field(description="when one was last taken")
    failures: int = Field(description="how often the next one was tried in vain")
    failing_since: datetime | None
    next_try: datetime | None
    error: str | None = Field(description="of the last attempt, if it failed")

    @classmethod
    def of(cls, webhook: Webhook) -> Self:
        state: Literal["ok", "retrying", "failed", "disabled"] = "ok"
        if not webhook.enabled:
            state = "disabled"
        elif webhook.failed is not None:
            state = "failed"
        elif webhook.failures:
            state = "retrying"
        return cls(
            name=webhook.name,
            url=webhook.url,
            types=sorted(webhook.types),
            enabled=webhook.enabled,
            state=state,
            created=webhook.created,
            created_by=webhook.created_by,
            place=webhook.place,
            delivered=webhook.delivered,
            failures=webhook.failures,
            failing_since=webhook.failing_since,
            next_try=webhook.next_try,
            error=webhook.error,
        )


class MadeWebhook(WebhookView):
    secret: str = Field(description="what its signatures are checked with; shown this once")


class WebhookPage(BaseModel):
    items: list[WebhookView]
    next: str | None


class Tested(BaseModel):
    taken: bool
    error: str | None
