"""Strangers as values: sources without a registration in force, seen talking to a gateway."""

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, Self

from policy.prefixes import Address, Network

# So many days back it is known on which of them a stranger was seen.
DAYS = 30
# What sums stop at: JSON's readers hold no greater number exactly.
MOST = 2**53

Order = Literal["minutes", "packets", "last_seen"]
# The most first; of minutes alike, who was seen last.
ORDERS: dict[Order, tuple[str, ...]] = {
    "minutes": ("minutes", "last_seen", "id"),
    "packets": ("packets", "id"),
    "last_seen": ("last_seen", "id"),
}

_FIRST_DAY = date(1970, 1, 1)


def day_of(moment: datetime) -> int:
    """Days since 1970, in UTC."""
    return (moment.date() - _FIRST_DAY).days


def date_of(day: int) -> date:
    return _FIRST_DAY + timedelta(days=day)


@dataclass(frozen=True, slots=True)
class Observed:
    """What one router says of one stranger and one service over an interval.

    `packets` is an estimate made of `samples`; `minutes` is in how many minutes of the interval
    there was a sample. `dropped`: of some packet, else all of them only would be.
    """

    gateway: str
    source: Address
    service: str
    first_seen: datetime
    last_seen: datetime
    packets: int
    samples: int
    minutes: int
    dropped: bool


@dataclass(frozen=True, slots=True)
class GatewayTotal:
    """Packets of strangers at a gateway: counted, not estimated."""

    packets: int
    samples: int


@dataclass(frozen=True, slots=True)
class StrangerReport:
    """One router's interval: what came in it since the one before."""

    registry: str
    since: datetime
    until: datetime
    gateways: dict[str, GatewayTotal]
    strangers: tuple[Observed, ...]


@dataclass(frozen=True, slots=True)
class Stranger:
    """All that is known of one source, at one gateway and with one service.

    Bit n of `days`: it was seen n days before the day of `last_seen`. `minutes` are added up over
    reports: one in which two routers saw it counts twice. `last_dropped`: it was last seen then,
    in a report by which packets of it were dropped.
    """

    id: int
    gateway_id: int
    gateway: str
    source: Address
    service: str
    first_seen: datetime
    last_seen: datetime
    packets: int
    samples: int
    minutes: int
    dropped: bool
    last_dropped: datetime | None
    routers: tuple[str, ...]
    days: int

    @property
    def packets_error(self) -> int:
        """The standard error of `packets`: each packet was sampled by chance, as likely as the
        next. 0 where every packet was."""
        left_out = max(self.packets - self.samples, 0)
        return round(math.sqrt(self.packets * left_out / self.samples))

    @property
    def seen_on(self) -> tuple[date, ...]:
        """The days in UTC, the newest first."""
        newest = day_of(self.last_seen)
        return tuple(date_of(newest - n) for n in range(DAYS) if self.days >> n & 1)


@dataclass(frozen=True, slots=True)
class StrangerFilter:
    """Which strangers are wanted; None is any. `since`: seen then or later; `first_before`: first
    seen before then; `dropped_since`: packets of them were dropped then or later."""

    gateway: str | None = None
    service: str | None = None
    source: Network | None = None
    since: datetime | None = None
    first_before: datetime | None = None
    dropped_since: datetime | None = None
    min_packets: int | None = None
    min_minutes: int | None = None


@dataclass(frozen=True, slots=True)
class StrangerPlace:
    """Where a page ended: what the last one is sorted by, and its id, as in ORDERS."""

    values: tuple[int | datetime, ...]

    @classmethod
    def of(cls, stranger: Stranger, order: Order) -> Self:
        return cls(tuple(getattr(stranger, name) for name in ORDERS[order]))


@dataclass(frozen=True, slots=True)
class SignOff:
    """Strangers of a prefix at a gateway that somebody takes no notice of, on purpose."""

    id: int
    gateway: str
    prefix: Network
    reason: str
    until: datetime | None
    created: datetime
    created_by: str

    @property
    def written(self) -> str:
        """The prefix as people write it: a host without its length."""
        host = self.prefix.num_addresses == 1
        return str(self.prefix.network_address if host else self.prefix)

    def holds(self, now: datetime) -> bool:
        return self.until is None or now < self.until
