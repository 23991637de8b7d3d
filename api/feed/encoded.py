"""The allowlist in JSON, as routers read it."""

import json
from collections.abc import Iterator

from api.records import Gateway, Json, ListedPeer, Peer
from api.registry import allowlist, peers
from policy.window import rfc3339


def changes(found: allowlist.Changes) -> bytes:
    return _json(
        {
            "registry": found.registry,
            "after": found.after,
            "revision": found.revision,
            "time": rfc3339(found.time),
            "gateways": {n: _gateway(g) if g else None for n, g in found.gateways.items()},
            "peers": {str(n): _peer(p) if p else None for n, p in found.peers.items()},
        }
    ).encode()


def snapshot(found: allowlist.Snapshot) -> Iterator[bytes]:
    """In parts of some 250 KB."""
    head = _json(
        {
            "registry": found.registry,
            "revision": found.revision,
            "time": rfc3339(found.time),
            "gateways": [_gateway(gateway) for gateway in found.gateways],
            "peers": [],
        }
    )
    yield head.removesuffix("]}").encode()
    comma = ""
    for some in found.peers:
        yield (comma + ",".join(map(_record, some))).encode()
        comma = ","
    yield b"]}"


def _gateway(gateway: Gateway) -> Json:
    # By which labels it is assigned is not for routers.
    return gateway.spec.model_dump(mode="json", exclude={"routers"})


def _peer(peer: Peer) -> Json:
    return {"id": peer.id, **peers.content(peer)}


def _record(peer: ListedPeer) -> str:
    """What `_peer` says, put together by hand: there may be a million of them."""
    quoted = json.dumps
    return (
        f'{{"id":{peer.id},"name":{quoted(peer.name)},"gateway":{quoted(peer.gateway)},'
        f'"owner":{quoted(peer.owner)},"contact":{quoted(peer.contact)},'
        f'"purpose":{quoted(peer.purpose)},"sources":{peer.sources},'
        f'"valid_from":{quoted(rfc3339(peer.valid_from))},'
        f'"valid_until":{quoted(rfc3339(peer.valid_until))}}}'
    )


def _json(content: Json) -> str:
    return json.dumps(content, separators=(",", ":"))
