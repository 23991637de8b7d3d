"""The table of packets over time. A change here needs a migration; a test holds the two equal."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table

from api.store.schema import Number, metadata

# `seconds` is a step's length, `start` its begin in seconds since 1970; both are 0 in the sum of
# all.
rates = Table(
    "rates",
    metadata,
    Column("gateway_id", Number, ForeignKey("gateways.id"), primary_key=True),
    Column("seconds", Integer, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("counter", String(40), primary_key=True),
    Column("packets", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)
Index("ix_rates_seconds", rates.c.seconds, rates.c.start)
