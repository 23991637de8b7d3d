"""Half-open spans of time in UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# Where the kernel's unsigned 64-bit nanoseconds end, in the year 2554.
FOREVER_NS = 2**64 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ns(moment: datetime) -> int:
    """Nanoseconds since 1970-01-01 UTC, clamped to what the kernel holds."""
    return min(max((moment - _EPOCH) // timedelta(microseconds=1) * 1000, 0), FOREVER_NS)


def from_ns(ns: int) -> datetime:
    """The moment of `ns` nanoseconds since 1970-01-01 UTC, to the microsecond."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


def rfc3339(moment: datetime | None) -> str | None:
    """As everything that prints or sends a time writes it: UTC, with Z."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Window:
    """[start, end) in UTC; None is without end on that side."""

    start: datetime | None = None
    end: datetime | None = None

    @property
    def start_ns(self) -> int:
        return 0 if self.start is None else to_ns(self.start)

    @property
    def end_ns(self) -> int:
        return FOREVER_NS if self.end is None else to_ns(self.end)

    def has(self, moment: datetime) -> bool:
        return self.start_ns <= to_ns(moment) < self.end_ns
