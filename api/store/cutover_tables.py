"""The table of cut-overs. A change here needs a migration; a test holds the two equal."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text

from api.store.schema import Number, Utc, metadata

# The latest of each gateway: what came before stands in the audit trail.
cutovers = Table(
    "cutovers",
    metadata,
    Column("gateway_id", Number, ForeignKey("gateways.id"), primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("at", Utc, nullable=False),
    Column("until", Utc, nullable=False),
    Column("days", Integer, nullable=False),
    Column("min_minutes", Integer, nullable=False),
    Column("most_dropped_sources", Integer, nullable=False),
    Column("override", Text),
    Column("strangers", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("planned", Utc, nullable=False),
    Column("planned_by", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("ended", Utc),
    Column("ended_by", Text),
    Column("reason", Text),
)
Index("ix_cutovers_state", cutovers.c.state)
