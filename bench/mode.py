"""How much is measured: all of it in twenty minutes, or what three minutes allow."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

FULL, QUICK = "full", "quick"


@dataclass(frozen=True, slots=True)
class Mode:
    """Sizes are numbers of registrations; times are in seconds where not named otherwise."""

    name: str
    lookup_sizes: tuple[int, ...]
    rounds: int
    timed_ns: int  # of one timed run
    loads: int
    changes: int
    flood_sizes: tuple[tuple[int, int], ...]  # family, registrations
    flood_rounds: int
    flood_packets: int  # of one timed run
    load_limit: float  # for a table of another filter to be loaded
    propagation_sizes: tuple[int, ...]
    propagation_changes: int
    change_limit: float  # for all of these changes; then those that were made count
    start_limit: float  # for the agent to be in step

    def filled(self) -> Iterator[tuple[int, int]]:
        """Families and sizes that maps are filled with."""
        for family in (4, 6):
            for registered in self.lookup_sizes:
                yield family, registered


_FULL = Mode(
    name=FULL,
    lookup_sizes=(1_000, 100_000, 1_000_000),
    rounds=21,
    timed_ns=40_000_000,
    loads=3,
    changes=2_000,
    flood_sizes=((4, 1_000_000), (6, 1_000_000)),
    flood_rounds=9,
    flood_packets=400_000,
    load_limit=150.0,
    propagation_sizes=(1_000, 100_000, 1_000_000),
    propagation_changes=200,
    change_limit=90.0,
    start_limit=240.0,
)

_QUICK = Mode(
    name=QUICK,
    lookup_sizes=(1_000, 100_000, 1_000_000),
    rounds=7,
    timed_ns=15_000_000,
    loads=1,
    changes=300,
    flood_sizes=((4, 100_000),),
    flood_rounds=5,
    flood_packets=200_000,
    load_limit=30.0,
    propagation_sizes=(1_000,),
    propagation_changes=50,
    change_limit=30.0,
    start_limit=30.0,
)

_MODES = {FULL: _FULL, QUICK: _QUICK}


def chosen(environment: Mapping[str, str]) -> Mode:
    """By BENCH. Raises ValueError for one that there is not."""
    name = environment.get("BENCH") or FULL
    if name not in _MODES:
        raise ValueError(f"BENCH={name}: it is one of {', '.join(_MODES)}")
    return _MODES[name]
