"""Values of the control plane: what a registry or a file says, and what the maps hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from control.entries import Entries, Entry
from control.word import Word
from policy.prefixes import Address, Network
from policy.services import Service
from policy.window import Window


@dataclass(frozen=True, slots=True)
class Gateway:
    """Unicast addresses with their services; `enforce` is None in monitor mode."""

    name: str
    addresses: tuple[Network, ...]
    services: tuple[Service, ...]
    enforce: Window | None


@dataclass(frozen=True, slots=True)
class Peer:
    """One approved registration at one gateway."""

    id: int
    name: str
    gateway: str
    owner: str
    contact: str
    purpose: str
    sources: tuple[Network, ...]
    valid: Window


@dataclass(frozen=True, slots=True)
class Allowlist:
    """One state of the allowlist. `registry` names where it comes from, `time` when it was made.

    `word` is the registry's on the last answer that led here; a policy file has none.
    """

    registry: str
    revision: int
    time: datetime
    gateways: tuple[Gateway, ...]
    peers: Sequence[Peer]
    word: Word | None = field(default=None, compare=False)


# Rows of the maps, as bpf/peergate.h lays them out. Times are ns since 1970-01-01 UTC.


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """Value of `gateways`: name and enforcement; monitor is the empty window 0, 0."""

    name: str
    enforce_from: int = 0
    enforce_until: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """Value of `targets`: each service with its gateway's number, sorted.

    `later`: the number at which later fragments are looked up, where there are several gateways.
    """

    services: tuple[tuple[Service, int], ...]
    later: int = 0

    @property
    def gateways(self) -> tuple[int, ...]:
        """Distinct, ascending."""
        return tuple(sorted({number for _, number in self.services}))


# Entries are keyed by gateway number and prefix. Above the gateways' numbers are those of
# groups: gateways that share an address, whose sources are looked up for later fragments.


@dataclass(frozen=True, slots=True)
class Tables:
    """What the maps hold, or should hold; or a part of that."""

    gateways: dict[int, GatewayRow] = field(default_factory=dict)
    targets: dict[Address, Target] = field(default_factory=dict)
    entries: Entries = field(default_factory=Entries)

    def __len__(self) -> int:
        return len(self.gateways) + len(self.targets) + len(self.entries)


@dataclass(frozen=True, slots=True)
class Difference:
    """What turns one `Tables` into another: rows to write, and rows whose keys are to go."""

    write: Tables
    delete: Tables = field(default_factory=Tables)

    def __len__(self) -> int:
        """How many rows are written or deleted."""
        return len(self.write) + len(self.delete)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the explaining entry point says of one frame."""

    verdict: str
    drop: bool
    gateway: int | None
    entry: Entry | None

    @property
    def action(self) -> str:
        return "drop" if self.drop else "pass"

    @property
    def would_drop(self) -> bool:
        return not self.drop and self.verdict in DROPPING


# The verdicts that drop where the gateway enforces.
DROPPING = frozenset({"expired", "unregistered", "malformed"})


@dataclass(frozen=True, slots=True)
class Count:
    packets: int
    bytes: int
