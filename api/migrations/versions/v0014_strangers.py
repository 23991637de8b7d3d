"""Strangers: who was seen unregistered, and who of them is ignored on purpose."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_moment = sa.DateTime(timezone=True)
_name = sa.String(63).with_variant(sa.String(63, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "strangers",
        sa.Column("id", _number, autoincrement=True, nullable=False),
        sa.Column("gateway_id", _number, nullable=False),
        sa.Column("key", sa.LargeBinary(17), nullable=False),
        sa.Column("service", sa.String(9), nullable=False),
        sa.Column("first_seen", _moment, nullable=False),
        sa.Column("last_seen", _moment, nullable=False),
        sa.Column("packets", sa.BigInteger(), nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("minutes", sa.BigInteger(), nullable=False),
        sa.Column("dropped", sa.Boolean(), nullable=False),
        sa.Column("routers", sa.Text(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("days", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateways.id"], name=op.f("fk_strangers_gateway_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_strangers")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_strangers_key", "strangers", ["key", "gateway_id", "service"], unique=True)
    for columns in (["minutes", "last_seen"], ["packets"], ["last_seen"]):
        by = columns[0]
        op.create_index(f"ix_strangers_{by}", "strangers", [*columns, "id"])
        op.create_index(f"ix_strangers_gateway_{by}", "strangers", ["gateway_id", *columns, "id"])
    op.create_table(
        "stranger_totals",
        sa.Column("gateway_id", _number, autoincrement=False, nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("packets", sa.BigInteger(), nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateways.id"], name=op.f("fk_stranger_totals_gateway_id")
        ),
        sa.PrimaryKeyConstraint("gateway_id", "day", name=op.f("pk_stranger_totals")),
    )
    op.create_table(
        "stranger_intervals",
        sa.Column("router", _name, nullable=False),
        sa.Column("until", _moment, nullable=False),
        sa.Column("taken", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("router", name=op.f("pk_stranger_intervals")),
    )
    op.create_table(
        "sign_offs",
        sa.Column("id", _number, autoincrement=True, nullable=False),
        sa.Column("gateway_id", _number, nullable=False),
        sa.Column("key", sa.LargeBinary(18), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("until", _moment, nullable=True),
        sa.Column("created", _moment, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateways.id"], name=op.f("fk_sign_offs_gateway_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_offs")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sign_offs_key", "sign_offs", ["gateway_id", "key"], unique=True)
