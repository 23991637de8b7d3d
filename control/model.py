"""Values of the control plane: what a registry or a file says, and what the maps hold."""

from dataclasses import dataclass, field
from datetime import datetime

from policy.prefixes import Address, Network
from policy.services import Service
from policy.window import FOREVER_NS, Window


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
    """One state of the allowlist. `registry` names where it comes from, `time` when it was made."""

    registry: str
    revision: int
    time: datetime
    gateways: tuple[Gateway, ...]
    peers: tuple[Peer, ...]


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


@dataclass(frozen=True, slots=True)
class Entry:
    """Value of `entries`: the window that counts now or next."""

    peer: int
    prefix_length: int
    valid_from: int = 0
    valid_until: int = FOREVER_NS
    ended: bool = False


# Entries are keyed by gateway number and prefix. Above the gateways' numbers are those of
# groups: gateways that share an address, whose sources are looked up for later fragments.
SourceKey = tuple[int, Network]
GATEWAYS_MAX = 4_096
NUMBERS_MAX = 8_191


@dataclass(frozen=True, slots=True)
class Tables:
    """What the maps hold, or should hold."""

    gateways: dict[int, GatewayRow] = field(default_factory=dict)
    targets: dict[Address, Target] = field(default_factory=dict)
    entries: dict[SourceKey, Entry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """What turns one `Tables` into another: rows to write, keys to delete."""

    write: Tables
    delete_gateways: tuple[int, ...] = ()
    delete_targets: tuple[Address, ...] = ()
    delete_entries: tuple[SourceKey, ...] = ()

    def __bool__(self) -> bool:
        return bool(
            self.write.gateways
            or self.write.targets
            or self.write.entries
            or self.delete_gateways
            or self.delete_targets
            or self.delete_entries
        )


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
