"""/v1/peers/export, and the policy as a document of any length"""

import json
from collections.abc import Generator

from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.auth import needs
from api.records import Json, Peer
from api.registry import bulk, peers
from api.registry.core import Read
from api.registry.permissions import Permission
from api.routes.models import PeerView
from api.routes.peer_views import views
from api.routes.streams import NDJSON, StreamedOf
from policy import writing

router = APIRouter(prefix="/v1/peers", tags=["peers"])
_LINES = {"schema": {"type": "string", "description": "a PeerView a line, by id"}}


@router.get(
    "/export",
    dependencies=[Depends(needs(Permission.READ))],
    response_class=Response,
    responses={200: {"description": "NDJSON", "content": {NDJSON: _LINES}}},
)
def export_peers(streamed: StreamedOf) -> Response:
    """All peers of all states, as they were at one moment, one JSON object a line.

    `POST /v1/peers/import` takes these lines. An answer that was broken off has no end in HTTP's
    sense (no last chunk): clients report that as an error.
    """
    return streamed(_lines, NDJSON)


def _lines(read: Read) -> Generator[bytes]:
    for batch in bulk.every(read):
        yield b"".join(map(_line, views(read, batch)))


def _line(view: PeerView) -> bytes:
    return f"{view.model_dump_json()}\n".encode()


def policy_as_json(read: Read) -> Generator[bytes]:
    gateways = [gateway.spec.model_dump(mode="json") for gateway in bulk.gateways(read)]
    yield b'{"gateways":%b,"peers":[' % _compact(gateways)
    comma = b""
    for batch in bulk.approved(read):
        yield comma + b",".join(_compact(_written(peer)) for peer in batch)
        comma = b","
    yield b"]}"


def policy_as_yaml(read: Read) -> Generator[bytes]:
    specs = [gateway.spec.model_dump(mode="json") for gateway in bulk.gateways(read)]
    yield "".join(writing.part("gateways", specs)).encode()
    some = False
    for batch in bulk.approved(read):
        text = "".join(writing.item(_written(peer)) for peer in batch)
        yield (text if some else writing.head("peers") + text).encode()
        some = True
    if not some:
        yield "".join(writing.part("peers", ())).encode()


def _written(peer: Peer) -> Json:
    """Without bounds where there are none: they would be taken away from one that gets some."""
    said = peers.registered(peer)
    return said if peer.bounds is not None else peers.content(peer)


def _compact(content: Json) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
