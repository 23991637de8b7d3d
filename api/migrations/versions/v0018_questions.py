"""Questions to routers, while somebody waits for the answer."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_name = sa.String(63).with_variant(sa.String(63, collation="C"), "postgresql")
_moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "questions",
        sa.Column("id", _number, autoincrement=True, nullable=False),
        sa.Column("router", _name, nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("asked", _moment, nullable=False),
        sa.Column("until", _moment, nullable=False),
        sa.Column("taken", sa.Boolean(), nullable=False),
        sa.Column("content", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("answer", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_questions")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_questions_asked", "questions", ["asked"])
