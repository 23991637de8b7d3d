"""What the figures of a registry must be."""

from bench.musts import MILLION, Must

MUSTS = (
    Must({"bench": "fanout", "database": "sqlite", "peers": 100_000}, "p99_s", 1),
    Must({"bench": "fanout", "database": "postgresql", "peers": 100_000}, "p99_s", 1),
    Must({"bench": "restart", "database": "sqlite"}, "served_s", 30),
    Must({"bench": "restart", "database": "postgresql"}, "served_s", 30),
    Must({"bench": "snapshot", "peers": MILLION}, "compressed_bytes", 64 * 2**20),
)
