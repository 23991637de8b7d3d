"""Peers are searched and sorted: their sources one by one, indexes, when they last changed."""

from ipaddress import ip_network

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_moment = sa.DateTime(timezone=True)
_BATCH = 1000

_peers = sa.table(
    "peers",
    sa.column("id", _number),
    sa.column("sources", sa.JSON()),
    sa.column("created", _moment),
    sa.column("decided", _moment),
    sa.column("changed", _moment),
)


def upgrade() -> None:
    op.add_column("peers", sa.Column("changed", _moment, nullable=True))
    op.execute(_peers.update().values(changed=sa.func.coalesce(_peers.c.decided, _peers.c.created)))
    if op.get_bind().dialect.name == "postgresql":
        # Sorted by its bytes on every server, as gateways' names are.
        op.alter_column("peers", "name", type_=sa.String(63, collation="C"))
    for column in ("name", "owner", "contact", "valid_until", "created", "changed"):
        op.create_index(f"ix_peers_{column}", "peers", [column, "id"])
    made = op.create_table(
        "peer_sources",
        sa.Column("key", sa.LargeBinary(18), nullable=False),
        sa.Column("peer_id", _number, nullable=False),
        sa.ForeignKeyConstraint(["peer_id"], ["peers.id"], name=op.f("fk_peer_sources_peer_id")),
        sa.PrimaryKeyConstraint("key", "peer_id", name=op.f("pk_peer_sources")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_peer_sources_peer_id", "peer_sources", ["peer_id"])
    _fill(op.get_bind(), made)


def _fill(connection: sa.Connection, made: sa.Table) -> None:
    """A key: version, first address, length."""
    after = 0
    query = sa.select(_peers.c.id, _peers.c.sources).order_by(_peers.c.id).limit(_BATCH)
    while rows := connection.execute(query.where(_peers.c.id > after)).all():
        keys = [
            {"key": key, "peer_id": row.id} for row in rows for key in {*map(_key, row.sources)}
        ]
        if keys:
            connection.execute(made.insert(), keys)
        after = rows[-1].id


def _key(source: str) -> bytes:
    network = ip_network(source)
    return bytes((network.version,)) + network.network_address.packed + bytes((network.prefixlen,))
