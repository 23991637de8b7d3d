"""Strangers: when each was last seen while packets of it were dropped."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("strangers", sa.Column("last_dropped", sa.DateTime(timezone=True), nullable=True))
