"""Cut-overs: when a gateway goes over to enforce, and what became of that."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "cutovers",
        sa.Column("gateway_id", _number, autoincrement=False, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("at", _moment, nullable=False),
        sa.Column("until", _moment, nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("min_minutes", sa.Integer(), nullable=False),
        sa.Column("most_dropped_sources", sa.Integer(), nullable=False),
        sa.Column("override", sa.Text(), nullable=True),
        sa.Column("strangers", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("planned", _moment, nullable=False),
        sa.Column("planned_by", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("ended", _moment, nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateways.id"], name=op.f("fk_cutovers_gateway_id")
        ),
        sa.PrimaryKeyConstraint("gateway_id", name=op.f("pk_cutovers")),
    )
    op.create_index("ix_cutovers_state", "cutovers", ["state"])
