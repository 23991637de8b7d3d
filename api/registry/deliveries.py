"""What is to be sent to a webhook next, and what follows from how it went."""

import hashlib
import hmac
import json
import random
import time
from base64 import b64decode, b64encode
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from api.event_records import KeptEvent, Webhook
from api.event_types import EventType
from api.records import Json
from api.registry.core import ITSELF, Registry
from api.registry.webhooks import recorded
from api.store import events, leases, webhooks
from policy.window import rfc3339

# Another process goes on after so long where the one that delivered is gone without a word.
LEASE = timedelta(seconds=15)
_LEASE_NAME = "webhooks"
# One event is tried again for so long.
GIVE_UP = timedelta(days=3)
_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 3600.0
_BATCH = 200


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one webhook: the headers and body that are sent."""

    webhook: Webhook
    number: int
    headers: dict[str, str]
    body: bytes


def as_json(kept: KeptEvent) -> dict[str, Json]:
    return {
        "id": kept.number,
        "time": rfc3339(kept.time),
        "type": kept.event.type.value,
        "author": kept.author,
        "subject": kept.event.subject,
        "count": kept.event.count,
        "revision": kept.revision,
        "content": kept.event.content,
    }


def signed(webhook: Webhook, id_: str, number: int, content: Json, now: datetime) -> Delivery:
    """As Standard Webhooks 1.0 has it: HMAC-SHA256 over id, time and body, for each secret.

    The id stays the same however often it is sent; the time is that of this attempt.
    """
    body = json.dumps(content, separators=(",", ":")).encode()
    stamp = str(int(now.timestamp()))
    secrets = [webhook.secret]
    if webhook.former_secret is not None and webhook.former_until is not None:
        secrets += [webhook.former_secret] if now < webhook.former_until else []
    signatures = (_signature(secret, f"{id_}.{stamp}.".encode() + body) for secret in secrets)
    headers = {
        "content-type": "application/json",
        "user-agent": "peergate",
        "webhook-id": id_,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(signatures),
    }
    return Delivery(webhook, number, headers, body)


def _signature(secret: str, content: bytes) -> str:
    digest = hmac.digest(b64decode(secret.removeprefix("whsec_")), content, hashlib.sha256)
    return f"v1,{b64encode(digest).decode()}"


def trial(webhook: Webhook, id_: str, now: datetime) -> Delivery:
    """Looks as an event does, and is none."""
    content: dict[str, Json] = {
        "id": 0,
        "time": rfc3339(now),
        "type": "webhook.test",
        "author": "peergate",
        "subject": webhook.name,
        "count": 1,
        "revision": None,
        "content": {},
    }
    return signed(webhook, id_, 0, content, now)


class Deliverer:
    """One process's hold on deliveries; `holder` tells it from the others."""

    def __init__(self, registry: Registry, holder: str) -> None:
        self._registry = registry
        self._holder = holder
        self._held_at: float | None = None

    def due(self) -> tuple[int, ...]:
        """Ids of the webhooks that are to be told of something, by this process."""
        with self._registry.read() as read:
            found = webhooks.due(read.connection, read.now)
        return found if found and self.hold() else ()

    def hold(self) -> bool:
        now = time.monotonic()
        if self._held_at is None or now - self._held_at >= LEASE.total_seconds() / 3:
            with self._registry.store.write() as connection:
                held = leases.take(connection, _LEASE_NAME, self._holder, LEASE)
            self._held_at = now if held else None
        return self._held_at is not None

    def give_up(self) -> None:
        """At the end, so that another one goes on at once."""
        if self._held_at is None:
            return
        with self._registry.store.write() as connection:
            leases.give_up(connection, _LEASE_NAME, self._holder)

    def next(self, number: int) -> Delivery | None:
        """The first event that this webhook is to be told of; None where there is none now."""
        while True:
            with self._registry.read() as read:
                webhook = webhooks.of_id(read.connection, number)
                if webhook is None or not webhook.enabled or webhook.failed is not None:
                    return None
                if webhook.next_try is not None and webhook.next_try > read.now:
                    return None
                found = events.after(read.connection, webhook.place, _BATCH)
            wanted = [e for e in found if not webhook.types or e.event.type in webhook.types]
            if wanted:
                kept = wanted[0]
                # Numbers come again after a restore: the time tells two of them apart.
                id_ = f"{read.head.registry}_{kept.number}_{int(kept.time.timestamp())}"
                return signed(webhook, id_, kept.number, as_json(kept), read.now)
            if not found or not self._note(webhook, place=found[-1].number):
                return None

    def delivered(self, delivery: Delivery) -> bool:
        return self._note(
            delivery.webhook,
            place=delivery.number,
            failures=0,
            failing_since=None,
            next_try=None,
            error=None,
            delivered=self._registry.clock(),
        )

    def failed(self, delivery: Delivery, error: str) -> None:
        """It is tried again after a pause that grows, or never."""
        webhook = delivery.webhook
        now = self._registry.clock()
        since = webhook.failing_since or now
        noted = {"failures": webhook.failures + 1, "failing_since": since, "error": error}
        if now - since >= GIVE_UP:
            self._give_up_on(delivery, noted | {"next_try": None, "failed": now})
            return
        pause = min(_FIRST_PAUSE * 2.0 ** min(webhook.failures, 30), _LONGEST_PAUSE)
        # So that receivers are not asked by all at once when they come back.
        pause *= random.uniform(0.5, 1)
        self._note(webhook, **noted, next_try=now + timedelta(seconds=pause))

    def _give_up_on(self, delivery: Delivery, noted: dict[str, Any]) -> None:
        webhook, name = delivery.webhook, delivery.webhook.name
        with self._registry.write(ITSELF, f"webhook {name} given up") as write:
            if webhooks.note(write.connection, webhook, **noted):
                after = replace(webhook, **noted)
                write.record("webhook.fail", f"webhook/{name}", recorded(webhook), recorded(after))
                since = rfc3339(noted["failing_since"])
                told = {"error": noted["error"], "since": since, "event": delivery.number}
                write.tell(EventType.WEBHOOK_FAILED, name, told)

    def _note(self, webhook: Webhook, **values: object) -> bool:
        with self._registry.store.write() as connection:
            return webhooks.note(connection, webhook, **values)
