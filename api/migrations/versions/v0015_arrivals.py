"""Routers' arrival at a revision is told of once for all of them, no longer once for each."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_BEFORE, _AFTER = "router.applied", "revision.applied"


def upgrade() -> None:
    op.add_column(
        "event_log", sa.Column("applied", sa.BigInteger(), nullable=False, server_default="0")
    )
    connection = op.get_bind()
    # What has come to all before needs no telling.
    connection.execute(
        sa.text("UPDATE event_log SET applied = COALESCE((SELECT revision FROM registry), 0)")
    )
    _forget(connection)
    for row in connection.execute(sa.text("SELECT id, types FROM webhooks")).all():
        types = json.loads(row.types) if isinstance(row.types, str) else row.types
        if _BEFORE in types:
            named = sorted({_AFTER if each == _BEFORE else each for each in types})
            query = sa.text("UPDATE webhooks SET types = :types WHERE id = :id")
            query = query.bindparams(sa.bindparam("types", type_=sa.JSON()))
            connection.execute(query, {"types": named, "id": row.id})


def _forget(connection: sa.Connection) -> None:
    """The old ones are no type of event any more, and numbers have no gaps: all up to the last
    one go, as if they were long ago."""
    last = connection.execute(
        sa.text("SELECT MAX(number) FROM events WHERE type = :type"), {"type": _BEFORE}
    ).scalar_one()
    if last is None:
        return
    for query in (
        "DELETE FROM events WHERE number <= :last",
        "UPDATE event_log SET floor = :last WHERE floor < :last",
        "UPDATE webhooks SET place = :last WHERE place < :last",
    ):
        connection.execute(sa.text(query), {"last": last})
