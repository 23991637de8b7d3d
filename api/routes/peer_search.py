"""How peers are asked for: filters, an order, and a place to go on from."""

import base64
import json
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Annotated, Literal

from fastapi import Depends, Query
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator

from api.records import Peer, PeerFilter, Place, Sort, State
from api.routes.conventions import NamePrefix, Shown
from policy.document import Moment, Name

_MOMENTS = ("valid_until", "created", "changed")
_HIGHEST_ID = 2**32 - 1

SortText = Literal[
    "id",
    "-id",
    "name",
    "-name",
    "valid_until",
    "-valid_until",
    "created",
    "-created",
    "changed",
    "-changed",
]


def prefix_text(text: str) -> str:
    try:
        if "%" in text:
            raise ValueError
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address or prefix") from None
    return str(network)


def filter_of(
    gateway: Annotated[Name | None, Query()] = None,
    state: Annotated[
        State | None,
        Query(description="approved is everyone approved, active and expired among them"),
    ] = None,
    owner: Annotated[Shown | None, Query(max_length=500, description="exactly this one")] = None,
    contact: Annotated[Shown | None, Query(max_length=254, description="exactly this one")] = None,
    name_prefix: NamePrefix = None,
    source: Annotated[
        str | None,
        Query(max_length=50, description="an address or prefix that a source holds, or overlaps"),
        AfterValidator(lambda text: None if text is None else prefix_text(text)),
    ] = None,
    valid_until_before: Annotated[Moment | None, Query()] = None,
    valid_until_after: Annotated[Moment | None, Query(description="at it, or after it")] = None,
    created_since: Annotated[Moment | None, Query()] = None,
    changed_since: Annotated[Moment | None, Query()] = None,
    proposed: Annotated[
        bool, Query(description="only those of which a change waits for an approver")
    ] = False,
) -> PeerFilter:
    return PeerFilter(
        gateway=gateway,
        state=state,
        owner=owner,
        contact=contact,
        name_prefix=name_prefix,
        source=None if source is None else ip_network(source),
        ends_before=valid_until_before,
        ends_after=valid_until_after,
        created_since=created_since,
        changed_since=changed_since,
        proposed=proposed,
    )


FilterOf = Annotated[PeerFilter, Depends(filter_of)]


def order_of(
    sort: Annotated[SortText, Query(description="`-` for the other way round")] = "id",
    cursor: Annotated[
        str | None, Query(max_length=500, description="`next` of the page before")
    ] = None,
) -> tuple[Sort, Place | None]:
    order = Sort(sort.removeprefix("-"), sort.startswith("-"))
    if cursor is None:
        return order, None
    try:
        return order, _place(order, cursor)
    except (ValueError, TypeError, OverflowError):
        rule = "no cursor of this list in this order: start without one"
        detail = {"type": "cursor", "loc": ("query", "cursor"), "msg": rule, "input": cursor}
        raise RequestValidationError([detail]) from None


OrderOf = Annotated[tuple[Sort, Place | None], Depends(order_of)]


def cursor_after(peer: Peer, order: Sort) -> str:
    value = getattr(peer, order.field)
    shown = value.isoformat() if isinstance(value, datetime) else value
    text = json.dumps([order.field, order.descending, shown, peer.id], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place(order: Sort, cursor: str) -> Place:
    """Raises ValueError or TypeError for one that we did not make."""
    text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    field, descending, value, number = json.loads(text)
    if (field, descending) != (order.field, order.descending):
        raise ValueError
    if type(number) is not int or not 0 < number <= _HIGHEST_ID:
        raise ValueError
    if field in _MOMENTS:
        if value is None and field != "valid_until":
            raise ValueError
        return Place(None if value is None else _moment(value), number)
    if field == "name" and (type(value) is not str or not value.isascii() or "\0" in value):
        raise ValueError
    return Place(value if field == "name" else number, number)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
