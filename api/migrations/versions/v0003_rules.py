"""Rules of the registry; who asked for a peer, the terms acknowledged, changes proposed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rules",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("four_eyes", sa.Boolean(), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=True),
        sa.Column("longest_days", sa.Integer(), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_rules_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rules")),
    )
    op.add_column("peers", sa.Column("authors", sa.JSON(), nullable=True))
    op.add_column("peers", sa.Column("terms", sa.String(63), nullable=True))
    op.add_column("peers", sa.Column("proposal", sa.JSON(), nullable=True))
