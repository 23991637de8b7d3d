"""The table of sessions. A change here needs a migration; a test holds the two equal."""

from sqlalchemy import Column, ForeignKey, Index, String, Table, Text

from api.store.schema import Number, Utc, metadata

# Of somebody whom an identity provider vouches for there is no token: so it is kept who they are.
sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    # The hash of an identity, as in replays.
    Column("caller", String(64), nullable=False),
    Column("token_id", Number, ForeignKey("tokens.id")),
    Column("name", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("subject", Text, nullable=False),
    Column("created", Utc, nullable=False),
    Column("expires", Utc, nullable=False),
)
Index("ix_sessions_caller", sessions.c.caller, sessions.c.created)
Index("ix_sessions_expires", sessions.c.expires)
