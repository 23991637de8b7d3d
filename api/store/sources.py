"""Sources of peers, one by one, so that who covers an address is found without reading all.

A key is the address's version, the prefix's first address and its length: prefixes are sorted by
where they begin, and the shorter comes first.
"""

from collections.abc import Iterable, Mapping
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Join,
    delete,
    insert,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from api.records import Peer
from api.store.schema import gateways, peer_sources, peers
from policy.prefixes import SHORTEST_SOURCE, Network


def add(connection: Connection, added: Mapping[int, Iterable[str]]) -> None:
    """By peer's id: prefixes as the registry writes them."""
    rows = [
        {"key": key, "peer_id": number}
        for number, sources in added.items()
        for key in {_key(source) for source in sources}
    ]
    if rows:
        connection.execute(insert(peer_sources), rows)


def put(connection: Connection, changed: Iterable[Peer]) -> None:
    """In place of those that these peers had."""
    for peer in changed:
        had = peer_sources.c.peer_id == peer.id
        keys = {_key(source) for source in peer.sources}
        if set(connection.execute(select(peer_sources.c.key).where(had)).scalars()) != keys:
            connection.execute(delete(peer_sources).where(had))
            add(connection, {peer.id: peer.sources})


def overlapping(prefix: Network) -> ColumnElement[bool]:
    """Peers of which a source holds the prefix, or is a part of it."""
    version = bytes((prefix.version,))
    first = version + prefix.network_address.packed + b"\0"
    last = version + prefix.broadcast_address.packed + b"\xff"
    shortest = min(SHORTEST_SOURCE[prefix.version], prefix.prefixlen)
    around = [
        _key(str(prefix.supernet(new_prefix=length)))
        for length in range(shortest, prefix.prefixlen + 1)
    ]
    found = or_(peer_sources.c.key.in_(around), peer_sources.c.key.between(first, last))
    return peers.c.id.in_(select(peer_sources.c.peer_id).where(found))


class _First(Join):
    """The left side is looked through first. SQLite takes a million approved peers for ten, and
    would ask of each whether it has one of the sources that are looked for."""

    inherit_cache = True


@compiles(_First, "sqlite")
def _in_order(join: _First, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    assert join.onclause is not None
    left = compiler.process(join.left, **options)
    right = compiler.process(join.right, **options)
    del options["asfrom"]
    return f"{left} CROSS JOIN {right} ON {compiler.process(join.onclause, **options)}"


def with_peers() -> FromClause:
    """Sources that are looked for by their keys, whose they are, and at which gateway."""
    held = _First(peer_sources, peers, peer_sources.c.peer_id == peers.c.id)
    return _First(held, gateways, gateways.c.id == peers.c.gateway_id)


def _key(source: str) -> bytes:
    """Without ipaddress: a million of them come at once."""
    address, _, length = source.partition("/")
    if ":" in address:
        return b"\x06" + inet_pton(AF_INET6, address) + bytes((int(length or 128),))
    return b"\x04" + inet_pton(AF_INET, address) + bytes((int(length or 32),))
