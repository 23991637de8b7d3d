"""What the figures must be, and whether they are."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from bench.rows import Row

MILLION = 1_000_000
Outcome = Literal["held", "missed", "not measured"]


@dataclass(frozen=True, slots=True)
class Must:
    """A bound on one figure of the rows that have these values."""

    of: Mapping[str, object]
    figure: str
    bound: float
    least: bool = False  # the figure must not be below the bound, else not above

    def holds(self, value: float) -> bool:
        return value >= self.bound if self.least else value <= self.bound

    def __str__(self) -> str:
        named = ", ".join(_words(name, value) for name, value in self.of.items())
        return f"{named}: {self.figure} {'>=' if self.least else '<='} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """`value` is the worst of the rows; None where there are none."""

    must: Must
    value: float | None

    @property
    def outcome(self) -> Outcome:
        if self.value is None:
            return "not measured"
        return "held" if self.must.holds(self.value) else "missed"

    def __str__(self) -> str:
        figure = "-" if self.value is None else f"{self.value:.4g}"
        return f"{self.outcome:12} {figure:>8}  {self.must}"


def judge(rows: Iterable[Row], musts: "Iterable[Must] | None" = None) -> Iterator[Judgement]:
    """Every must, in order; those of `make bench` unless others are named."""
    known = list(rows)
    for must in MUSTS if musts is None else musts:
        mine = [row for row in known if must.of.items() <= row.items() and must.figure in row]
        values = [float(str(row[must.figure])) for row in mine]
        worst = min(values, default=None) if must.least else max(values, default=None)
        yield Judgement(must, worst)


def _words(name: str, value: object) -> str:
    if name == "family":
        return f"IPv{value}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def _lookup(family: int, registered: int, traffic: str, bound: float) -> Must:
    of = {"bench": "lookup", "family": family, "registered": registered, "traffic": traffic}
    return Must(of, "ratio", bound)


def _flood(against: str, least: float) -> Must:
    of = {"bench": "flood", "family": 4, "registered": MILLION, "against": against}
    return Must(of, "ratio", least, least=True)


MUSTS = (
    _lookup(4, MILLION, "bystander", 1.2),
    _lookup(6, MILLION, "bystander", 1.2),
    _lookup(4, 1_000, "unregistered", 1.7),
    _lookup(4, 100_000, "unregistered", 2.1),
    _lookup(4, MILLION, "unregistered", 3.5),
    _lookup(6, 100_000, "unregistered", 1.8),
    _lookup(6, MILLION, "unregistered", 2.3),
    _lookup(6, MILLION, "unregistered-inside", 11),
    _lookup(4, MILLION, "registered", 14),
    _lookup(6, MILLION, "registered", 22),
    _flood("xdp-filter", round(1 / 1.1, 3)),  # which holds 10,000
    _flood("nft-interval", 40),
    _flood("nft-hash-interval", 20),
    _flood("ipset", 50),
    Must({"bench": "attack", "family": 4, "registered": MILLION}, "ratio", 3),
    Must({"bench": "attack", "family": 6, "registered": MILLION}, "ratio", 3),
    Must({"bench": "load", "registered": MILLION}, "seconds", 2),
    Must({"bench": "propagation", "registered": MILLION}, "p99_ms", 100),
)
