"""How strangers are asked for: filters, an order, and a place to go on from."""

import base64
import json
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Annotated, Literal

from fastapi import Depends, Query
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator

from api.routes.peer_search import prefix_text
from api.stranger_records import MOST, ORDERS, Order, StrangerFilter, StrangerPlace
from policy.document import Moment, Name

_SORTS: dict[str, Order] = {f"-{order}": order for order in ORDERS}
_Bound = Annotated[int | None, Query(ge=0, le=MOST)]


def filter_of(
    gateway: Annotated[Name | None, Query()] = None,
    service: Annotated[
        str | None,
        Query(pattern=r"^(udp|tcp|proto)/[0-9]{1,5}$", description="as on the wire, no preset"),
    ] = None,
    source: Annotated[
        str | None,
        Query(max_length=50, description="an address, or a prefix that it is in"),
        AfterValidator(lambda text: None if text is None else prefix_text(text)),
    ] = None,
    since: Annotated[Moment | None, Query(description="seen then or later")] = None,
    min_packets: _Bound = None,
    min_minutes: _Bound = None,
) -> StrangerFilter:
    return StrangerFilter(
        gateway=gateway,
        service=service,
        source=None if source is None else ip_network(source),
        since=since,
        min_packets=min_packets,
        min_minutes=min_minutes,
    )


FilterOf = Annotated[StrangerFilter, Depends(filter_of)]


def order_of(
    sort: Annotated[
        Literal["-minutes", "-packets", "-last_seen"],
        Query(description="`-minutes`: the most persistent first"),
    ] = "-minutes",
    cursor: Annotated[
        str | None, Query(max_length=500, description="`next` of the page before")
    ] = None,
) -> tuple[Order, StrangerPlace | None]:
    order = _SORTS[sort]
    if cursor is None:
        return order, None
    try:
        return order, _place(order, cursor)
    except (ValueError, TypeError, OverflowError, RecursionError):
        rule = "no cursor of this list in this order: start without one"
        detail = {"type": "cursor", "loc": ("query", "cursor"), "msg": rule, "input": cursor}
        raise RequestValidationError([detail]) from None


OrderOf = Annotated[tuple[Order, StrangerPlace | None], Depends(order_of)]


def cursor_at(place: StrangerPlace, order: Order) -> str:
    values = [v.isoformat() if isinstance(v, datetime) else v for v in place.values]
    text = json.dumps([order, *values], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place(order: Order, cursor: str) -> StrangerPlace:
    """Raises ValueError or TypeError for one that we did not make."""
    text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    made_for, *values = json.loads(text)
    columns = ORDERS[order]
    if made_for != order:
        raise ValueError
    return StrangerPlace(tuple(_value(n, v) for n, v in zip(columns, values, strict=True)))


def _value(column: str, value: object) -> int | datetime:
    if column == "last_seen" and isinstance(value, str):
        return datetime.fromisoformat(value).astimezone(UTC)
    if column != "last_seen" and type(value) is int and 0 <= value <= MOST:
        return value
    raise ValueError
