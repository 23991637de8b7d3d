"""A webhook's secret can be renewed: the former one signs too, for a while."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("webhooks", sa.Column("former_secret", sa.Text()))
    op.add_column("webhooks", sa.Column("former_until", sa.DateTime(timezone=True)))
