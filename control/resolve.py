"""Overlapping registrations made flat: which windows count for each prefix (DESIGN.md, Overlaps).

A longest-prefix match sees one entry only. So each (gateway, prefix) gets the
windows of every peer of that gateway that covers it, its own and the wider ones.
Times are ns since 1970-01-01 UTC. Pure: no I/O.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from control.model import Entry, Gateway, Peer, SourceKey
from policy.prefixes import Address, Network

# Half-open, ascending, with a gap between each two.
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """All that is registered for one prefix at one gateway."""

    gateway: str
    source: Network
    peer: int
    spans: Spans

    def entry(self, now: int) -> Entry:
        """The window that counts now or next; where all have ended, the last one."""
        index = 0
        while index + 1 < len(self.spans) and self.spans[index][1] <= now:
            index += 1
        start, end = self.spans[index]
        return Entry(self.peer, self.source.prefixlen, start, end, ended=index > 0)

    def next_change(self, now: int) -> int | None:
        """When `entry` changes: the end of its window, if a later one follows."""
        for _, end in self.spans[:-1]:
            if end > now:
                return end
        return None


@dataclass(frozen=True, slots=True)
class Timetable:
    """What is registered at any time, from which the entries of one moment follow."""

    rows: tuple[Row, ...]

    def entries(self, numbers: Mapping[str, int], now: int) -> dict[SourceKey, Entry]:
        """The entries at `now`, for gateways with these numbers."""
        return {(numbers[row.gateway], row.source): row.entry(now) for row in self.rows}

    def next_change(self, now: int) -> int | None:
        """When the agent must write a later window, if it ever must."""
        changes = (row.next_change(now) for row in self.rows if len(row.spans) > 1)
        return min((change for change in changes if change is not None), default=None)


def group_name(gateways: Iterable[str]) -> str:
    """What stands for several gateways in a `Row`; no gateway is called so."""
    return "\0".join(sorted(gateways))


def groups(gateways: Iterable[Gateway]) -> frozenset[tuple[str, ...]]:
    """The gateways that share an address, by name, for every address that is shared."""
    on: dict[Address, set[str]] = {}
    for gateway in gateways:
        for block in gateway.addresses:
            for address in block:
                on.setdefault(address, set()).add(gateway.name)
    return frozenset(tuple(sorted(names)) for names in on.values() if len(names) > 1)


def timetable(peers: Iterable[Peer], sharing: Iterable[tuple[str, ...]] = ()) -> Timetable:
    """The timetable of these peers: one row per distinct (gateway, prefix).

    A group of gateways that share an address has rows too: its peers are those of all.
    """
    also: dict[str, list[str]] = {}
    for group in sharing:
        for name in group:
            also.setdefault(name, []).append(group_name(group))
    own: dict[tuple[str, Network], list[Peer]] = {}
    for peer in peers:
        for name in (peer.gateway, *also.get(peer.gateway, ())):
            for source in peer.sources:
                own.setdefault((name, source), []).append(peer)
    rows: list[Row] = []
    # Wider prefixes that may cover the next one; sorted so, each stands before what it covers.
    covering: list[Row] = []
    for gateway, source in sorted(own, key=_order):
        while covering and not _covers(covering[-1], gateway, source):
            covering.pop()
        registered = own[gateway, source]
        spans = _union(
            covering[-1].spans if covering else (),
            ((peer.valid.start_ns, peer.valid.end_ns) for peer in registered),
        )
        row = Row(gateway, source, min(peer.id for peer in registered), spans)
        rows.append(row)
        covering.append(row)
    return Timetable(tuple(rows))


def _order(key: tuple[str, Network]) -> tuple[str, int, int, int]:
    gateway, source = key
    return gateway, source.version, int(source.network_address), source.prefixlen


def _covers(row: Row, gateway: str, source: Network) -> bool:
    wider = row.source
    if row.gateway != gateway or wider.version != source.version:
        return False
    host_bits = wider.max_prefixlen - wider.prefixlen
    return int(wider.network_address) >> host_bits == int(source.network_address) >> host_bits


def _union(covering: Spans, own: Iterable[tuple[int, int]]) -> Spans:
    """Both merged; what overlaps or touches becomes one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted((*covering, *own)):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return tuple(merged)
