"""/v1/audit"""

import json
from collections.abc import Generator
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth import RegistryOf, needs
from api.records import AuditFilter, AuditRecord, Json
from api.registry import audit
from api.registry.core import Read
from api.registry.permissions import Permission
from api.registry.trail import content
from api.routes.audit_models import AuditHead, AuditPage
from api.routes.conventions import Limit, Shown, answer
from api.routes.streams import NDJSON, StreamedOf
from policy.document import Moment

router = APIRouter(
    prefix="/v1/audit", tags=["audit"], dependencies=[Depends(needs(Permission.AUDIT))]
)
_LINES = {"schema": {"type": "string", "description": "an AuditView a line, by number"}}


@router.get("", response_model=AuditPage)
def list_records(
    registry: RegistryOf,
    subject: Annotated[Shown | None, Query(max_length=200, examples=["peer/17"])] = None,
    actor: Annotated[Shown | None, Query(max_length=200, description="a token's name")] = None,
    action: Annotated[Shown | None, Query(max_length=200, examples=["peer.approve"])] = None,
    since: Annotated[Moment | None, Query(description="from then on")] = None,
    until: Annotated[Moment | None, Query(description="before then")] = None,
    cursor: Annotated[
        str | None, Query(pattern="^[0-9]{1,15}$", description="`next` of the page before")
    ] = None,
    limit: Limit = 100,
) -> Response:
    """What was changed, by whom and from where; the latest first."""
    wanted = AuditFilter(subject, actor, action, since, until)
    with registry.read() as read:
        below = None if cursor is None else int(cursor)
        found = audit.newest(read, wanted, below, limit + 1)
    items = [_view(record) for record in found[:limit]]
    further = str(items[-1]["number"]) if len(found) > limit else None
    return Response(json.dumps({"items": items, "next": further}), media_type="application/json")


@router.get("/head", response_model=AuditHead)
def show_head(registry: RegistryOf) -> Response:
    """The number and the hash of the last record."""
    with registry.read() as read:
        link = audit.head(read)
    return answer(AuditHead(registry=read.head.registry, number=link.number, hash=link.hash))


@router.get(
    "/export",
    response_class=Response,
    responses={200: {"description": "NDJSON", "content": {NDJSON: _LINES}}},
)
def export_records(
    streamed: StreamedOf,
    after: Annotated[int, Query(ge=0, le=2**53, description="the last number that you have")] = 0,
) -> Response:
    """All records as they were at one moment, the oldest first, one JSON object a line."""
    return streamed(lambda read: _lines(read, after), NDJSON)


def _lines(read: Read, after: int) -> Generator[bytes]:
    for batch in audit.export(read, after):
        yield "".join(json.dumps(_view(record)) + "\n" for record in batch).encode()


def _view(record: AuditRecord) -> dict[str, Json]:
    return {**content(record), "hash": record.hash}
