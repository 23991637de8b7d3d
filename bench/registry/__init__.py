"""make bench-registry: a registry, and a thousand routers that follow it."""
