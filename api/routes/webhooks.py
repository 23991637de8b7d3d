"""/v1/webhooks"""

from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Depends, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.auth import CallerOf, RegistryOf, needs
from api.event_records import Webhook
from api.outbound import DeliveryError, Sender
from api.registry import deliveries, webhooks
from api.registry.core import Registry, Write
from api.registry.permissions import Permission
from api.routes.conventions import ExpectedOf, Limit, NameCursor, OnceOf, answer
from api.routes.webhook_models import (
    MadeWebhook,
    NewWebhook,
    Tested,
    WebhookPage,
    WebhookPatch,
    WebhookView,
)
from policy.document import Name

router = APIRouter(
    prefix="/v1/webhooks", tags=["webhooks"], dependencies=[Depends(needs(Permission.WEBHOOKS))]
)
WebhookName = Annotated[Name, Path()]


def private_of(request: Request) -> bool:
    """Whether webhooks may lead into the operator's own network."""
    private: bool = request.app.state.settings.private_webhooks
    return private


PrivateOf = Annotated[bool, Depends(private_of)]


@router.get("", response_model=WebhookPage)
def list_webhooks(registry: RegistryOf, cursor: NameCursor = None, limit: Limit = 100) -> Response:
    """All webhooks and how they fare, by name; without their secrets."""
    with registry.read() as read:
        found = webhooks.page(read, cursor or "", limit + 1)
    items = [WebhookView.of(webhook) for webhook in found[:limit]]
    return answer(WebhookPage(items=items, next=items[-1].name if len(found) > limit else None))


@router.post("", response_model=MadeWebhook, status_code=201)
def add_webhook(once: OnceOf, private: PrivateOf, body: NewWebhook) -> Response:
    """A URL to which events are POSTed from now on, signed as Standard Webhooks has it. The secret
    is in this answer alone."""

    def work(write: Write) -> Response:
        made = webhooks.create(write, body.name, body.url, body.types, private=private)
        shown = WebhookView.of(made).model_dump()
        response = answer(MadeWebhook(**shown, secret=made.secret), 201, made.version)
        response.headers["Location"] = f"/v1/webhooks/{made.name}"
        return response

    return once(f"webhook {body.name} added", body, work, secret=True)


@router.get("/{name}", response_model=WebhookView)
def show_webhook(registry: RegistryOf, name: WebhookName) -> Response:
    """One webhook."""
    with registry.read() as read:
        found = webhooks.get(read, name)
    return answer(WebhookView.of(found), version=found.version)


@router.patch("/{name}", response_model=WebhookView)
def change_webhook(
    registry: RegistryOf,
    caller: CallerOf,
    private: PrivateOf,
    name: WebhookName,
    expected: ExpectedOf,
    body: WebhookPatch,
) -> Response:
    """Changes the fields that are sent. One that was disabled or has failed goes on where it
    stopped once it is enabled, as far as events are kept."""
    fields = body.model_dump(exclude_unset=True)
    with registry.write(caller.actor, f"webhook {name} changed") as write:
        found = webhooks.change(write, name, expected, fields, private=private)
    return answer(WebhookView.of(found), version=found.version)


@router.delete("/{name}", status_code=204)
def remove_webhook(
    registry: RegistryOf, caller: CallerOf, name: WebhookName, expected: ExpectedOf
) -> None:
    """It is told of nothing any more."""
    with registry.write(caller.actor, f"webhook {name} removed") as write:
        webhooks.remove(write, name, expected)


@router.post("/{name}/secret", response_model=MadeWebhook, status_code=201)
def renew_secret(once: OnceOf, name: WebhookName) -> Response:
    """Another secret, which is in this answer alone. For a day each delivery carries a signature
    of the former one, too; called again within it, the one before the former ends at once."""

    def work(write: Write) -> Response:
        made = webhooks.renew_secret(write, name)
        shown = WebhookView.of(made).model_dump()
        return answer(MadeWebhook(**shown, secret=made.secret), 201, made.version)

    return once(f"webhook {name} has another secret", None, work, secret=True)


@router.post("/{name}/test", response_model=Tested)
async def test_webhook(request: Request, registry: RegistryOf, name: WebhookName) -> Response:
    """Sends an event of the type `webhook.test` and the number 0, once and now."""
    delivery = await run_in_threadpool(_trial, registry, name)
    sender: Sender = request.app.state.sender
    try:
        await sender.post(delivery.webhook.url, delivery.headers, delivery.body)
    except DeliveryError as error:
        return answer(Tested(taken=False, error=str(error)))
    return answer(Tested(taken=True, error=None))


def _trial(registry: Registry, name: str) -> deliveries.Delivery:
    with registry.read() as read:
        found: Webhook = webhooks.get(read, name)
    return deliveries.trial(found, f"test_{uuid4()}", read.now)
