"""Owners move the sources of their own peers, within bounds."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("peers", sa.Column("bounds", sa.JSON(), nullable=True))
    op.add_column("peers", sa.Column("here", sa.JSON(), nullable=True))
    op.add_column("peers", sa.Column("moved", sa.DateTime(timezone=True), nullable=True))
    op.add_column("tokens", sa.Column("peer_id", sa.BigInteger(), nullable=True))
    op.create_index("ix_tokens_peer_id", "tokens", ["peer_id"])
