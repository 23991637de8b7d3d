"""The registry: gateways, peers, revisions, routers, tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_sorted_name = sa.String(63).with_variant(sa.String(63, collation="C"), "postgresql")
_moment = sa.DateTime(timezone=True)
_live_gateway = sa.text("removed IS NULL")
_live_peer = sa.text("state IN ('pending', 'approved')")


def upgrade() -> None:
    _registry()
    _gateways_and_peers()
    _revisions()
    _routers_and_tokens()


def _registry() -> None:
    op.create_table(
        "registry",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("floor", sa.BigInteger(), nullable=False),
        sa.Column("policy_version", sa.BigInteger(), nullable=False),
        sa.Column("created", _moment, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_registry_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registry")),
    )


def _gateways_and_peers() -> None:
    op.create_table(
        "gateways",
        sa.Column("id", _number, autoincrement=True, nullable=False),
        sa.Column("name", _sorted_name, nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created", _moment, nullable=False),
        sa.Column("changed", _moment, nullable=False),
        sa.Column("removed", _moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateways")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_gateways_live_name",
        "gateways",
        ["name"],
        unique=True,
        sqlite_where=_live_gateway,
        postgresql_where=_live_gateway,
    )
    op.create_table(
        "peers",
        sa.Column("id", _number, autoincrement=True, nullable=False),
        sa.Column("gateway_id", _number, nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("valid_from", _moment, nullable=True),
        sa.Column("valid_until", _moment, nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created", _moment, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("decided", _moment, nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("id BETWEEN 1 AND 4294967295", name=op.f("ck_peers_u32")),
        sa.CheckConstraint(
            "state IN ('pending', 'approved', 'rejected', 'revoked')", name=op.f("ck_peers_state")
        ),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateways.id"], name=op.f("fk_peers_gateway_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_peers")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_peers_state", "peers", ["state"])
    op.create_index("ix_peers_listed_until", "peers", ["listed", "valid_until"])
    op.create_index(
        "ix_peers_live_name",
        "peers",
        ["gateway_id", "name"],
        unique=True,
        sqlite_where=_live_peer,
        postgresql_where=_live_peer,
    )


def _revisions() -> None:
    op.create_table(
        "revisions",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", _moment, nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_revisions")),
    )
    op.create_table(
        "changes",
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("subject", sa.String(63), nullable=False),
        sa.ForeignKeyConstraint(
            ["revision"], ["revisions.revision"], name=op.f("fk_changes_revision")
        ),
        sa.PrimaryKeyConstraint("revision", "kind", "subject", name=op.f("pk_changes")),
    )


def _routers_and_tokens() -> None:
    op.create_table(
        "routers",
        sa.Column("name", _sorted_name, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("received", _moment, nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_routers")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", _number, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created", _moment, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires", _moment, nullable=True),
        sa.Column("revoked", _moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "replays",
        sa.Column("token_id", _number, nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("created", _moment, nullable=False),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"], name=op.f("fk_replays_token_id")),
        sa.PrimaryKeyConstraint("token_id", "key", name=op.f("pk_replays")),
    )
    op.create_index("ix_replays_created", "replays", ["created"])
