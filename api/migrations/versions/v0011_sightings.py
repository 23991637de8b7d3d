"""When each peer was last seen."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "sightings",
        sa.Column("peer_id", _number, autoincrement=False, nullable=False),
        sa.Column("seen", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["peer_id"], ["peers.id"], name=op.f("fk_sightings_peer_id")),
        sa.PrimaryKeyConstraint("peer_id", name=op.f("pk_sightings")),
    )
