"""Rows of webhooks."""

from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from api.event_records import Webhook
from api.event_types import EventType
from api.store.schema import event_log, webhooks


def _webhook(row: Row[Any]) -> Webhook:
    columns = {each.name: getattr(row, each.name) for each in fields(Webhook)}
    return Webhook(**columns | {"types": frozenset(map(EventType, row.types))})


def _columns(webhook: Webhook) -> dict[str, Any]:
    columns = {each.name: getattr(webhook, each.name) for each in fields(Webhook)}
    del columns["id"]
    return columns | {"types": sorted(webhook.types)}


def find(connection: Connection, name: str) -> Webhook | None:
    row = connection.execute(select(webhooks).where(webhooks.c.name == name)).one_or_none()
    return None if row is None else _webhook(row)


def of_id(connection: Connection, number: int) -> Webhook | None:
    row = connection.execute(select(webhooks).where(webhooks.c.id == number)).one_or_none()
    return None if row is None else _webhook(row)


def page(connection: Connection, after: str, limit: int) -> tuple[Webhook, ...]:
    query = select(webhooks).where(webhooks.c.name > after).order_by(webhooks.c.name).limit(limit)
    return tuple(_webhook(row) for row in connection.execute(query))


def count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(webhooks)).scalar_one()


def due(connection: Connection, now: datetime) -> tuple[int, ...]:
    """Ids of those for which there are events, and which may be tried now."""
    query = select(webhooks.c.id).where(
        webhooks.c.enabled,
        webhooks.c.failed.is_(None),
        or_(webhooks.c.next_try.is_(None), webhooks.c.next_try <= now),
        webhooks.c.place < select(event_log.c.last).scalar_subquery(),
    )
    return tuple(connection.execute(query).scalars())


def add(connection: Connection, webhook: Webhook) -> None:
    connection.execute(insert(webhooks).values(**_columns(webhook)))


def save(connection: Connection, webhook: Webhook) -> None:
    query = update(webhooks).where(webhooks.c.id == webhook.id)
    connection.execute(query.values(**_columns(webhook)))


def note(connection: Connection, before: Webhook, **values: object) -> bool:
    """Writes how a delivery went; not where somebody changed the webhook meanwhile."""
    query = update(webhooks).where(
        webhooks.c.id == before.id,
        webhooks.c.version == before.version,
        webhooks.c.place == before.place,
        webhooks.c.failed.is_(None),
    )
    return connection.execute(query.values(**values)).rowcount == 1


def remove(connection: Connection, webhook: Webhook) -> None:
    connection.execute(delete(webhooks).where(webhooks.c.id == webhook.id))
