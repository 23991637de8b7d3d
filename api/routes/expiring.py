"""/v1/peers/expiring"""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth import RegistryOf, needs
from api.records import Peer
from api.registry import peers
from api.registry.permissions import Permission
from api.routes.conventions import Limit, answer
from api.routes.models import PeerPage
from api.routes.peer_views import views

router = APIRouter(prefix="/v1/peers", tags=["peers"])
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Within = Annotated[
    str,
    Query(
        pattern="^[0-9]{1,6}[dhm]$",
        description="days, hours or minutes from now",
        examples=["14d", "36h"],
    ),
]
EndCursor = Annotated[
    str | None,
    Query(pattern="^[0-9]{1,17}-[0-9]{1,10}$", description="`next` of the page before"),
]


@router.get("/expiring", dependencies=[Depends(needs(Permission.READ))], response_model=PeerPage)
def list_expiring(
    registry: RegistryOf, within: Within = "14d", cursor: EndCursor = None, limit: Limit = 100
) -> Response:
    """Active peers that end within a time, the first to end first."""
    span = timedelta(**{_UNITS[within[-1]]: int(within[:-1])})
    with registry.read() as read:
        after = None if cursor is None else _place(cursor)
        found = peers.expiring(read, span, after, limit + 1)
        items = views(read, found[:limit])
    return answer(
        PeerPage(items=items, next=_cursor(found[limit - 1]) if len(found) > limit else None)
    )


def _cursor(peer: Peer) -> str:
    assert peer.valid_until is not None
    return f"{(peer.valid_until - _EPOCH) // _MICROSECOND}-{peer.id}"


def _place(cursor: str) -> tuple[datetime, int]:
    end, _, number = cursor.partition("-")
    return _EPOCH + timedelta(microseconds=int(end)), int(number)
