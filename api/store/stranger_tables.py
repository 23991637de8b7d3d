"""Tables of strangers. A change here needs a migration; a test holds the two equal."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from api.store.schema import Number, SortedName, Utc, metadata

strangers = Table(
    "strangers",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("gateway_id", Number, ForeignKey("gateways.id"), nullable=False),
    # The address's version and the address: sorted as addresses are.
    Column("key", LargeBinary(17), nullable=False),
    Column("service", String(9), nullable=False),
    Column("first_seen", Utc, nullable=False),
    Column("last_seen", Utc, nullable=False),
    Column("packets", BigInteger, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("minutes", BigInteger, nullable=False),
    Column("dropped", Boolean, nullable=False),
    Column("last_dropped", Utc),
    # Names, each between commas.
    Column("routers", Text, nullable=False),
    # The day of last_seen, in days since 1970, and a bit for each of the days up to it.
    Column("day", Integer, nullable=False),
    Column("days", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
Index(
    "ix_strangers_key",
    *(strangers.c[name] for name in ("key", "gateway_id", "service")),
    unique=True,
)
for _columns in (("minutes", "last_seen"), ("packets",), ("last_seen",)):
    _sorted = [strangers.c[name] for name in (*_columns, "id")]
    Index(f"ix_strangers_{_columns[0]}", *_sorted)
    Index(f"ix_strangers_gateway_{_columns[0]}", strangers.c.gateway_id, *_sorted)

# Packets of strangers by day: counted, where strangers are estimated.
stranger_totals = Table(
    "stranger_totals",
    metadata,
    Column("gateway_id", Number, ForeignKey("gateways.id"), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("packets", BigInteger, nullable=False),
    Column("samples", BigInteger, nullable=False),
)

# The last interval of each router. `taken`: so many of its strangers are in; null is all.
stranger_intervals = Table(
    "stranger_intervals",
    metadata,
    Column("router", SortedName, primary_key=True),
    Column("until", Utc, nullable=False),
    Column("taken", Integer),
)

sign_offs = Table(
    "sign_offs",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("gateway_id", Number, ForeignKey("gateways.id"), nullable=False),
    # As in peer_sources.
    Column("key", LargeBinary(18), nullable=False),
    Column("reason", Text, nullable=False),
    Column("until", Utc),
    Column("created", Utc, nullable=False),
    Column("created_by", Text, nullable=False),
    sqlite_autoincrement=True,
)
Index("ix_sign_offs_key", sign_offs.c.gateway_id, sign_offs.c.key, unique=True)
