"""Tables. A change here needs a migration; a test holds the two equal."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from api.chain import START

# SQLite counts up by itself in columns of this very type alone.
Number = BigInteger().with_variant(Integer, "sqlite")
# None is SQL's NULL, not JSON's.
MaybeJson = JSON(none_as_null=True)
# Sorted by its bytes on every server: pages go by name.
SortedName = String(63).with_variant(String(63, collation="C"), "postgresql")


class Utc(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps no zone, so it is given back here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

registry = Table(
    "registry",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("uuid", String(36), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("floor", BigInteger, nullable=False),
    Column("policy_version", BigInteger, nullable=False),
    Column("rollout", MaybeJson),
    Column("created", Utc, nullable=False),
    # The last record of the audit trail; before the first one, what that follows.
    Column("audit_number", BigInteger, nullable=False, server_default=str(START.number)),
    Column("audit_hash", String(64), nullable=False, server_default=START.hash),
    Column("lifted", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("id = 1", name="one"),
)

gateways = Table(
    "gateways",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("name", SortedName, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", Utc, nullable=False),
    Column("changed", Utc, nullable=False),
    Column("removed", Utc),
    sqlite_autoincrement=True,
)
Index(
    "ix_gateways_live_name",
    gateways.c.name,
    unique=True,
    sqlite_where=text("removed IS NULL"),
    postgresql_where=text("removed IS NULL"),
)

peers = Table(
    "peers",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("gateway_id", Number, ForeignKey("gateways.id"), nullable=False),
    Column("name", SortedName, nullable=False),
    Column("owner", Text, nullable=False),
    Column("contact", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("sources", JSON, nullable=False),
    Column("valid_from", Utc),
    Column("valid_until", Utc),
    Column("state", String(16), nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", Utc, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("decided", Utc),
    Column("decided_by", Text),
    Column("reason", Text),
    Column("authors", JSON),
    Column("terms", String(63)),
    Column("proposal", JSON(none_as_null=True)),
    Column("changed", Utc),
    Column("bounds", JSON(none_as_null=True)),
    Column("here", JSON),
    Column("moved", Utc),
    # The data plane holds ids in 32 bits.
    CheckConstraint("id BETWEEN 1 AND 4294967295", name="u32"),
    CheckConstraint("state IN ('pending', 'approved', 'rejected', 'revoked')", name="state"),
    sqlite_autoincrement=True,
)
_LIVE = "state IN ('pending', 'approved')"
Index(
    "ix_peers_live_name",
    peers.c.gateway_id,
    peers.c.name,
    unique=True,
    sqlite_where=text(_LIVE),
    postgresql_where=text(_LIVE),
)
# Few of very many.
_PROPOSED = "proposal IS NOT NULL"
Index(
    "ix_peers_proposed",
    peers.c.id,
    sqlite_where=text(_PROPOSED),
    postgresql_where=text(_PROPOSED),
)
Index("ix_peers_listed_until", peers.c.listed, peers.c.valid_until)
Index("ix_peers_state", peers.c.state)
for _column in ("name", "owner", "contact", "valid_until", "created", "changed"):
    Index(f"ix_peers_{_column}", peers.c[_column], peers.c.id)

# What peers.sources holds, to be searched.
peer_sources = Table(
    "peer_sources",
    metadata,
    Column("key", LargeBinary(18), primary_key=True),
    Column("peer_id", Number, ForeignKey("peers.id"), primary_key=True),
    sqlite_with_rowid=False,
)
Index("ix_peer_sources_peer_id", peer_sources.c.peer_id)

sightings = Table(
    "sightings",
    metadata,
    Column("peer_id", Number, ForeignKey("peers.id"), primary_key=True, autoincrement=False),
    Column("seen", Utc, nullable=False),
)

rules = Table(
    "rules",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("four_eyes", Boolean, nullable=False),
    Column("terms", JSON(none_as_null=True)),
    Column("longest_days", Integer),
    CheckConstraint("id = 1", name="one"),
)

revisions = Table(
    "revisions",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("time", Utc, nullable=False),
    Column("author", Text, nullable=False),
    Column("cause", Text, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("revision", BigInteger, ForeignKey("revisions.revision"), primary_key=True),
    Column("kind", String(8), primary_key=True),
    Column("subject", String(63), primary_key=True),
    Column("urgent", Boolean, nullable=False),
    # What it was before; null where it was not in the allowlist.
    Column("before", MaybeJson),
)

routers = Table(
    "routers",
    metadata,
    Column("name", SortedName, primary_key=True),
    Column("labels", JSON, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created", Utc, nullable=False),
    Column("created_by", Text, nullable=False),
)

reports = Table(
    "reports",
    metadata,
    Column("router", SortedName, ForeignKey("routers.name"), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("received", Utc, nullable=False),
    Column("content", JSON, nullable=False),
)

# Routers from which nothing was heard for too long, and that this was told of.
silent_routers = Table(
    "silent_routers",
    metadata,
    Column("name", SortedName, primary_key=True),
    Column("since", Utc, nullable=False),
)

# One row: taking the next number is the last that a transaction does, so numbers are committed in
# their order, and none is left out.
event_log = Table(
    "event_log",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("floor", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    # The newest revision of which was told that all routers have it.
    Column("applied", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("id = 1", name="one"),
)

events = Table(
    "events",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("time", Utc, nullable=False),
    Column("author", Text, nullable=False),
    Column("revision", BigInteger),
    Column("type", String(32), nullable=False),
    Column("subject", Text),
    Column("things", BigInteger, nullable=False),
    Column("content", JSON, nullable=False),
)
Index("ix_events_time", events.c.time)

# Of which ends of peers was told, and how many days before; 0 is at the end.
reminders = Table(
    "reminders",
    metadata,
    Column("peer_id", Number, ForeignKey("peers.id"), primary_key=True),
    Column("valid_until", Utc, primary_key=True),
    Column("days", Integer, primary_key=True, autoincrement=False),
)
Index("ix_reminders_valid_until", reminders.c.valid_until)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("name", SortedName, nullable=False),
    Column("url", Text, nullable=False),
    Column("types", JSON, nullable=False),
    # Receivers check signatures with it, so it is kept as it is.
    Column("secret", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created", Utc, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("failing_since", Utc),
    Column("next_try", Utc),
    Column("failed", Utc),
    Column("error", Text),
    Column("delivered", Utc),
    Column("former_secret", Text),
    Column("former_until", Utc),
    sqlite_autoincrement=True,
)

Index("ix_webhooks_name", webhooks.c.name, unique=True)

# What one process of several does, until the time that it has said.
leases = Table(
    "leases",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("holder", String(36), nullable=False),
    Column("until", Utc, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("name", String(63), nullable=False),
    Column("role", String(16), nullable=False),
    # The one that an agent's token is for. No foreign key: the router may go, revoked tokens stay.
    Column("router", SortedName),
    Column("digest", String(64), nullable=False),
    Column("created", Utc, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires", Utc),
    Column("revoked", Utc),
    # Of a peer, which is never deleted.
    Column("peer_id", BigInteger),
    sqlite_autoincrement=True,
)
Index("ix_tokens_peer_id", tokens.c.peer_id)
# They are counted twice a second.
Index(
    "ix_tokens_revoked",
    tokens.c.revoked,
    sqlite_where=text("revoked IS NOT NULL"),
    postgresql_where=text("revoked IS NOT NULL"),
)

replays = Table(
    "replays",
    metadata,
    # The hash of an identity.
    Column("caller", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text),
    Column("headers", JSON, nullable=False),
    Column("created", Utc, nullable=False),
)
Index("ix_replays_created", replays.c.created)

# Triggers refuse to change or delete a row: they are in the migration.
audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("time", Utc, nullable=False),
    Column("actor", Text, nullable=False),
    Column("token", Number),
    Column("role", String(16)),
    Column("address", String(45)),
    Column("request", String(128)),
    Column("action", String(64), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
    Column("hash", String(64), nullable=False),
)
Index("ix_audit_subject", audit.c.subject, audit.c.number)
Index("ix_audit_actor", audit.c.actor, audit.c.number)
Index("ix_audit_time", audit.c.time)
