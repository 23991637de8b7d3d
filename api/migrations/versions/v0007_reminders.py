"""Which ends of peers were told of."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "reminders",
        sa.Column("peer_id", _number, nullable=False),
        sa.Column("valid_until", _moment, nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["peer_id"], ["peers.id"], name=op.f("fk_reminders_peer_id")),
        sa.PrimaryKeyConstraint("peer_id", "valid_until", "days", name=op.f("pk_reminders")),
    )
    op.create_index("ix_reminders_valid_until", "reminders", ["valid_until"])
