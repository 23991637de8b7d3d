"""Answers kept for requests that carry an idempotency key."""

from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from api.records import Replay
from api.store.schema import replays


def find(connection: Connection, caller: str, key: str) -> Replay | None:
    query = select(replays).where(replays.c.caller == caller, replays.c.key == key)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return Replay(digest=row.digest, status=row.status, body=row.body, headers=row.headers)


def keep(connection: Connection, caller: str, key: str, replay: Replay, now: datetime) -> None:
    connection.execute(
        insert(replays).values(
            caller=caller,
            key=key,
            digest=replay.digest,
            status=replay.status,
            body=replay.body,
            headers=replay.headers,
            created=now,
        )
    )


def forget(connection: Connection, before: datetime) -> None:
    connection.execute(delete(replays).where(replays.c.created <= before))
