"""/v1/routers/{name}/strangers"""

from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field

from api.auth import CallerOf, needs
from api.errors import RefusedError
from api.registry.permissions import Permission
from api.registry.stranger_reports import StrangerReports
from api.routes.streams import Places
from api.stranger_records import GatewayTotal, Observed, StrangerReport
from policy.document import Document, Moment, Name
from policy.errors import Problem
from policy.prefixes import Address

router = APIRouter(prefix="/v1/routers", tags=["routers"])
# Each has a thread, and one of them writes.
AT_ONCE = 8
MOST = 10_000
# So many wrong values are named.
_NAMED = 20
_HIGHEST = {"udp": 65535, "tcp": 65535, "proto": 255}

Count = Annotated[int, Field(ge=0, le=2**53)]
Some = Annotated[int, Field(ge=1, le=2**53)]
# Ten thousand of them come at once: they are looked into in a thread, not where all requests wait.
Stamp = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
        r"(Z|[+-][0-9]{2}:[0-9]{2})$",
        examples=["2026-11-28T14:00:00Z"],
    ),
]


class GatewayReport(Document):
    """Packets of strangers in the interval, counted; and how many of them were looked at."""

    packets: Count
    samples: Count


class StrangerSeen(Document):
    gateway: Name
    source: Annotated[
        str, Field(pattern=r"^[0-9A-Fa-f:.]+$", max_length=45, examples=["203.0.113.9"])
    ]
    service: Annotated[
        str, Field(pattern=r"^(udp|tcp|proto)/(0|[1-9][0-9]{0,4})$", examples=["udp/51820"])
    ]
    first_seen: Stamp
    last_seen: Stamp
    packets: Count
    samples: Some
    minutes: Some
    dropped: bool


class StrangersSeen(Document):
    """What a router saw since the interval before. Sent again, it counts once."""

    registry: Annotated[str, Field(min_length=1, max_length=64)]
    since: Moment
    until: Moment
    gateways: Annotated[dict[Name, GatewayReport], Field(max_length=4096)]
    strangers: Annotated[tuple[StrangerSeen, ...], Field(max_length=MOST)]

    @property
    def report(self) -> StrangerReport:
        """Raises RefusedError."""
        problems: list[Problem] = []
        if self.until <= self.since:
            shown = self.until.isoformat()
            problems.append(Problem("until", shown, "the interval ends before it starts"))
        seen = [each for n, s in enumerate(self.strangers) if (each := _seen(s, n, problems))]
        if problems:
            named = tuple(problems[:_NAMED])
            raise RefusedError("the request is refused, nothing changed", "", named, len(problems))
        return StrangerReport(
            registry=self.registry,
            since=self.since,
            until=self.until,
            gateways={n: GatewayTotal(t.packets, t.samples) for n, t in self.gateways.items()},
            strangers=tuple(seen),
        )


def _seen(said: StrangerSeen, number: int, problems: list[Problem]) -> Observed | None:
    """None with a problem more."""
    field = ""
    try:
        field = "source"
        source = _address(said.source)
        field = "service"
        _check_service(said.service)
        field = "first_seen"
        first = _moment(said.first_seen)
        field = "last_seen"
        last = _moment(said.last_seen)
        if last < first:
            raise ValueError("this is before first_seen")
    except ValueError as error:
        value = getattr(said, field)
        problems.append(Problem(f"strangers[{number}].{field}", value, str(error)))
        return None
    return Observed(
        gateway=said.gateway,
        source=source,
        service=said.service,
        first_seen=first,
        last_seen=last,
        packets=said.packets,
        samples=said.samples,
        minutes=said.minutes,
        dropped=said.dropped,
    )


def _address(text: str) -> Address:
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError("not an IPv4 or IPv6 address") from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise ValueError("IPv4-mapped IPv6 addresses are not seen on a wire: write the IPv4 one")
    return address


def _check_service(text: str) -> None:
    kind, _, number = text.partition("/")
    if int(number) > _HIGHEST[kind]:
        raise ValueError(f"{kind}/N is at most {kind}/{_HIGHEST[kind]}")


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time with its zone, as in 2026-12-01T00:00:00Z") from None


@router.put("/{name}/strangers", dependencies=[Depends(needs(Permission.REPORT))], status_code=204)
def report_strangers(
    request: Request,
    caller: CallerOf,
    name: Annotated[Name, Path()],
    body: StrangersSeen,
) -> None:
    """What this router saw of strangers since it last said so. One interval counts once: one that
    ends no later than the last one taken is passed over. So are gateways that the router does not
    carry."""
    reports: StrangerReports = request.app.state.stranger_reports
    places: Places = request.app.state.stranger_places
    with places.taken():
        reports.take(caller, name, body.report)
