"""Revoked tokens are counted without going through those that work."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    revoked = sa.text("revoked IS NOT NULL")
    op.create_index(
        "ix_tokens_revoked",
        "tokens",
        ["revoked"],
        sqlite_where=revoked,
        postgresql_where=revoked,
    )
