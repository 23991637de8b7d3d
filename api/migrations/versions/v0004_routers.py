"""Routers are declared and have labels, tokens are for one of them; changes say what was before."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_sorted_name = sa.String(63).with_variant(sa.String(63, collation="C"), "postgresql")
_moment = sa.DateTime(timezone=True)
_maybe_json = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.add_column("registry", sa.Column("rollout", _maybe_json, nullable=True))
    op.add_column("tokens", sa.Column("router", _sorted_name, nullable=True))
    _reports()
    _routers()
    _changes()


def _reports() -> None:
    op.create_table(
        "reports",
        sa.Column("router", _sorted_name, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("received", _moment, nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("router", name=op.f("pk_reports")),
    )
    op.execute(
        "INSERT INTO reports (router, revision, received, content)"
        " SELECT name, revision, received, content FROM routers"
    )
    op.drop_table("routers")


def _routers() -> None:
    """Whoever has reported, and whoever has an agent's token, which is for the one of its name."""
    op.create_table(
        "routers",
        sa.Column("name", _sorted_name, nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created", _moment, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_routers")),
    )
    op.execute("UPDATE tokens SET router = name WHERE role = 'agent'")
    op.execute(
        "INSERT INTO routers (name, labels, version, created, created_by)"
        " SELECT name, '{}', 1, CURRENT_TIMESTAMP, 'upgrade' FROM"
        " (SELECT router AS name FROM reports UNION SELECT router FROM tokens"
        "  WHERE router IS NOT NULL) AS known"
    )
    with op.batch_alter_table("reports") as reports:
        reports.create_foreign_key(op.f("fk_reports_router"), "routers", ["router"], ["name"])


def _changes() -> None:
    """What was before is not known of changes that were made: routers fetch a snapshot."""
    op.drop_table("changes")
    op.create_table(
        "changes",
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("subject", sa.String(63), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("before", _maybe_json, nullable=True),
        sa.ForeignKeyConstraint(
            ["revision"], ["revisions.revision"], name=op.f("fk_changes_revision")
        ),
        sa.PrimaryKeyConstraint("revision", "kind", "subject", name=op.f("pk_changes")),
    )
    op.execute("UPDATE registry SET floor = revision")
