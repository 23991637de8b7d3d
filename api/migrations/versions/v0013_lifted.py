"""The revision that a registry was lifted to: what came before is lost history to routers."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "registry", sa.Column("lifted", sa.BigInteger(), nullable=False, server_default="0")
    )
