"""The registry's own row, revisions and the log of what they changed."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from api.errors import NotFoundError
from api.records import Head
from api.store.schema import changes, registry, revisions

GATEWAY = "gateway"
PEER = "peer"


def create(connection: Connection, uuid: str, now: datetime) -> None:
    connection.execute(
        insert(registry).values(id=1, uuid=uuid, revision=0, floor=0, policy_version=0, created=now)
    )


def head(connection: Connection, *, lock: bool = False) -> Head:
    """`lock` makes writers queue where the database does not do so by itself."""
    query = select(
        registry.c.uuid, registry.c.revision, registry.c.floor, registry.c.policy_version
    )
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFoundError("the database holds no registry: run `peergate api init`")
    return Head(row.uuid, row.revision, row.floor, row.policy_version)


def exists(connection: Connection) -> bool:
    return connection.execute(select(registry.c.id)).first() is not None


def save(connection: Connection, head: Head) -> None:
    connection.execute(
        update(registry).values(
            revision=head.revision, floor=head.floor, policy_version=head.policy_version
        )
    )


def append(
    connection: Connection,
    before: Head,
    touched: Iterable[tuple[str, str]],
    *,
    now: datetime,
    author: str,
    cause: str,
    kept: int,
) -> Head:
    """The next revision, with what it changed. Changes older than `kept` revisions go."""
    revision = before.revision + 1
    after = replace(before, revision=revision, floor=max(before.floor, revision - kept))
    connection.execute(
        insert(revisions).values(revision=revision, time=now, author=author, cause=cause)
    )
    rows = [
        {"revision": revision, "kind": kind, "subject": subject}
        for kind, subject in sorted(touched)
    ]
    if rows:
        connection.execute(insert(changes), rows)
    if after.floor > before.floor:
        connection.execute(delete(changes).where(changes.c.revision <= after.floor))
    return after


def rise(
    connection: Connection, before: Head, revision: int, *, now: datetime, author: str, cause: str
) -> Head:
    """A head at `revision`, and no changes from before it."""
    connection.execute(
        insert(revisions).values(revision=revision, time=now, author=author, cause=cause)
    )
    connection.execute(delete(changes))
    return replace(before, revision=revision, floor=revision)


def touched_after(connection: Connection, after: int) -> tuple[set[str], set[int]]:
    """Names of the gateways and ids of the peers that changed after a revision."""
    query = select(changes.c.kind, changes.c.subject).where(changes.c.revision > after).distinct()
    gateways: set[str] = set()
    peers: set[int] = set()
    for row in connection.execute(query):
        if row.kind == GATEWAY:
            gateways.add(row.subject)
        else:
            peers.add(int(row.subject))
    return gateways, peers
