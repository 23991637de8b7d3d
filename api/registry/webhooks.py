"""Webhooks: who is told of events, as the operator keeps them."""

import hashlib
import secrets
from base64 import b64encode
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from api.errors import ConflictError, NotFoundError, RefusedError
from api.event_records import Webhook
from api.event_types import EventType
from api.registry.core import Expected, Read, Write
from api.store import events, webhooks
from policy.errors import Problem

# Each may be tried at the same time.
MOST = 50
# So long the former secret signs beside the one that was made in its place.
OVERLAP = timedelta(days=1)


def get(state: Read | Write, name: str) -> Webhook:
    webhook = webhooks.find(state.connection, name)
    if webhook is None:
        raise NotFoundError(f"there is no webhook {name!r}")
    return webhook


def page(read: Read, after: str, limit: int) -> tuple[Webhook, ...]:
    return webhooks.page(read.connection, after, limit)


def create(
    write: Write, name: str, url: str, types: Collection[EventType], *, private: bool
) -> Webhook:
    """It is told of what happens from now on. `private`: it may be in the operator's network."""
    _check_url(url, private=private)
    if webhooks.find(write.connection, name) is not None:
        taken = Problem("name", name, "a webhook has this name already")
        raise ConflictError("the name is taken", "name-taken", (taken,))
    if webhooks.count(write.connection) >= MOST:
        raise ConflictError(f"there are {MOST} webhooks, which is as many as there may be")
    last = events.reach(write.connection).last
    webhook = Webhook(
        id=0,
        name=name,
        url=url,
        types=frozenset(types),
        secret=_new_secret(),
        enabled=True,
        # Each change makes an event: one that takes a removed one's name has a higher version.
        version=last + 1,
        created=write.now,
        created_by=write.author,
        place=last,
    )
    webhooks.add(write.connection, webhook)
    write.record("webhook.add", f"webhook/{name}", None, recorded(webhook))
    write.tell(EventType.WEBHOOK_ADDED, name, {"types": sorted(types)})
    return get(write, name)


def change(
    write: Write, name: str, expected: Expected, fields: Mapping[str, Any], *, private: bool
) -> Webhook:
    """`fields`: url, types, enabled. That also sets one going again that has failed, from there."""
    before = get(write, name)
    expected.check(before.version, f"webhook {name!r}")
    if "url" in fields:
        _check_url(fields["url"], private=private)
    after = replace(
        before,
        url=fields.get("url", before.url),
        types=frozenset(fields.get("types", before.types)),
        enabled=fields.get("enabled", before.enabled),
    )
    if fields.get("enabled"):
        after = replace(
            after, failures=0, failing_since=None, next_try=None, failed=None, error=None
        )
    if after == before:
        return before
    after = replace(after, version=before.version + 1)
    webhooks.save(write.connection, after)
    then = recorded(before)
    write.record("webhook.change", f"webhook/{name}", then, recorded(after))
    write.tell(EventType.WEBHOOK_CHANGED, name, {"fields": sorted(fields)})
    return after


def renew_secret(write: Write, name: str) -> Webhook:
    """Another secret. What is sent is signed with both for a day: no receiver is cut off."""
    before = get(write, name)
    after = replace(
        before,
        secret=_new_secret(),
        former_secret=before.secret,
        former_until=write.now + OVERLAP,
        version=before.version + 1,
    )
    webhooks.save(write.connection, after)
    then = recorded(before)
    write.record("webhook.renew_secret", f"webhook/{name}", then, recorded(after))
    write.tell(EventType.WEBHOOK_CHANGED, name, {"fields": ["secret"]})
    return after


def remove(write: Write, name: str, expected: Expected) -> None:
    webhook = get(write, name)
    expected.check(webhook.version, f"webhook {name!r}")
    webhooks.remove(write.connection, webhook)
    write.record("webhook.remove", f"webhook/{name}", recorded(webhook), None)
    write.tell(EventType.WEBHOOK_REMOVED, name)


def _new_secret() -> str:
    """As Standard Webhooks writes it."""
    return f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"


def recorded(webhook: Webhook) -> dict[str, object]:
    """For the audit trail. Many a receiver is known by its path alone: that is a secret, too."""
    parts = urlsplit(webhook.url)
    digest = hashlib.sha256(webhook.url.encode()).hexdigest()
    return {
        "name": webhook.name,
        "host": f"{parts.scheme}://{parts.netloc}",
        "url_sha256": digest,
        "types": sorted(webhook.types),
        "enabled": webhook.enabled,
        "failed": webhook.failed,
        "former_secret_until": webhook.former_until,
    }


def _check_url(url: str, *, private: bool) -> None:
    rule = _wrong_with(url, private=private)
    if rule:
        raise RefusedError("the webhook has no good address", "", (Problem("url", url, rule),))


def _wrong_with(url: str, *, private: bool) -> str:
    if not url.isascii() or not url.isprintable() or " " in url:
        return "a URL is ASCII without spaces: escape the rest, write names as xn--..."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "not a URL"
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        return "must start with https://" + (" or http://" if private else "")
    if not parts.hostname or port == 0:
        return "names no host and port to connect to"
    if "@" in parts.netloc or parts.fragment:
        return "carries no user, password or fragment: the signature tells who sends"
    return ""
