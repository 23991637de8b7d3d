"""The registry's own row."""

from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from api.errors import NotFoundError
from api.records import Head, Rollout
from api.store.schema import registry


def create(connection: Connection, uuid: str, now: datetime) -> None:
    connection.execute(
        insert(registry).values(id=1, uuid=uuid, revision=0, floor=0, policy_version=0, created=now)
    )


def head(connection: Connection, *, lock: bool = False) -> Head:
    """`lock` makes writers queue where the database does not do so by itself."""
    query = select(
        registry.c.uuid,
        registry.c.revision,
        registry.c.floor,
        registry.c.policy_version,
        registry.c.rollout,
        registry.c.lifted,
    )
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFoundError("the database holds no registry: run `peergate api init`")
    rollout = None if row.rollout is None else Rollout(**row.rollout)
    return Head(row.uuid, row.revision, row.floor, row.policy_version, rollout, row.lifted)


def exists(connection: Connection) -> bool:
    return connection.execute(select(registry.c.id)).first() is not None


def save(connection: Connection, head: Head) -> None:
    connection.execute(
        update(registry).values(
            revision=head.revision,
            floor=head.floor,
            policy_version=head.policy_version,
            rollout=None if head.rollout is None else asdict(head.rollout),
            lifted=head.lifted,
        )
    )
