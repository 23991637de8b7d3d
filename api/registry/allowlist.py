"""What routers follow: a snapshot, and the changes after a revision."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from api.errors import ConflictError, GoneError
from api.records import Gateway, Head, Peer
from api.registry.core import Read
from api.store import gateways, heads, peers


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole allowlist at one revision."""

    registry: str
    revision: int
    time: datetime
    gateways: tuple[Gateway, ...]
    peers: tuple[Peer, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """The newest state of all that changed after a revision; None is gone."""

    registry: str
    after: int
    revision: int
    time: datetime
    gateways: Mapping[str, Gateway | None]
    peers: Mapping[int, Peer | None]


def snapshot(read: Read) -> Snapshot:
    head = read.head
    return Snapshot(
        registry=head.registry,
        revision=head.revision,
        time=read.now,
        gateways=gateways.every(read.connection),
        peers=peers.listed(read.connection),
    )


def changes(read: Read, after: int) -> Changes:
    head = read.head
    _check_reach(head, after)
    names, numbers = heads.touched_after(read.connection, after)
    changed_gateways: dict[str, Gateway | None] = dict.fromkeys(sorted(names))
    changed_gateways |= {g.name: g for g in gateways.named(read.connection, names)}
    changed_peers: dict[int, Peer | None] = dict.fromkeys(sorted(numbers))
    changed_peers |= {p.id: p for p in peers.listed_among(read.connection, numbers)}
    return Changes(
        registry=head.registry,
        after=after,
        revision=head.revision,
        time=read.now,
        gateways=changed_gateways,
        peers=changed_peers,
    )


def _check_reach(head: Head, after: int) -> None:
    if after > head.revision:
        raise ConflictError(
            f"revision {after} is ahead of this registry, which is at {head.revision}: it was "
            "restored from a backup. Report the revision, then fetch a snapshot",
            "revision-ahead",
        )
    if after < head.floor:
        raise GoneError(
            f"changes are kept from revision {head.floor} on: fetch a snapshot",
            "snapshot-required",
        )
