"""A registry with many registrations, written into its database before it serves."""

from collections.abc import Iterator
from dataclasses import replace
from socket import AF_INET, inet_ntop
from typing import Any

from sqlalchemy import insert

from api.bootstrap import init
from api.database import open_store
from api.records import State
from api.registry.core import utc_now
from api.settings import Settings
from api.store import gateways, heads, log
from api.store import sources as peer_sources
from api.store.schema import peers
from bench.population import Population
from bench.site import gateway_address
from policy.document import GatewaySpec

GATEWAY = "gateway-1"
_AT_ONCE = 20_000
REST = {
    "gateway": GATEWAY,
    "owner": "Branch networks",
    "contact": "netops@example.net",
    "purpose": "Site-to-site tunnel",
}


def seed(settings: Settings, people: Population) -> str:
    """All of them approved at one gateway, each a peer of its own; an admin's token."""
    token = init(settings).token
    assert token is not None
    store = open_store(settings)
    now = utc_now()
    spec = GatewaySpec.model_validate(
        {
            "name": GATEWAY,
            "addresses": [gateway_address(4)],
            "services": ["wireguard"],
            "mode": "enforce",
        }
    )
    rest = {name: text for name, text in REST.items() if name != "gateway"}
    fixed = {
        **rest,
        "gateway_id": 1,
        "state": State.APPROVED.value,
        "listed": True,
        "version": 1,
        "created": now,
        "created_by": "admin",
        "decided": now,
        "decided_by": "admin",
        "changed": now,
    }
    try:
        with store.write() as connection:
            gateways.add(connection, spec, now)
            batch: list[dict[str, Any]] = []
            for number, source in enumerate(sources(people), 1):
                batch.append({**fixed, "name": f"site-{number}", "sources": [source]})
                if len(batch) == _AT_ONCE or number == len(people):
                    connection.execute(insert(peers), batch)
                    first = number - len(batch) + 1
                    kept = {first + at: row["sources"] for at, row in enumerate(batch)}
                    peer_sources.add(connection, kept)
                    batch = []
            head = replace(heads.head(connection), revision=1)
            touched: dict[log.Subject, log.Before] = {(log.GATEWAY, GATEWAY): None}
            log.begin(connection, 1, now=now, author="admin", cause="seed")
            log.add(connection, 1, touched, urgent=False)
            heads.save(connection, head)
    finally:
        store.close()
    return token


def sources(people: Population) -> Iterator[str]:
    """Prefixes as the registry writes them."""
    for packed, length in zip(people.addresses.packed(), people.lengths.tolist(), strict=True):
        yield f"{inet_ntop(AF_INET, packed.tobytes())}/{length}"
