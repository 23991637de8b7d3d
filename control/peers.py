"""The peers of an allowlist, so that one made from another by changes shares what they share."""

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import overload

import numpy as np

from control import records
from control.columns import Rows
from control.model import Peer
from control.pairs import Pairs
from control.stored import Stored
from policy.prefixes import Address

# With so many changes on top they are stored with the others: a change copies those before it.
FOLD_AT = 4_096
# A registration with fewer leading bits in common is not called near, by family.
NEAR = {4: 8, 6: 16}

_AT_ONCE = 32


class Peers(Sequence[Peer]):
    """Peers by id: many that are stored, and on top what became of a few since.

    Nothing changes. As a sequence they can be read one by one; that takes its time.
    """

    __slots__ = ("_since", "_stored")

    def __init__(self, stored: Stored, since: Mapping[int, Peer | None]) -> None:
        self._stored = stored
        self._since = since

    @classmethod
    def of(cls, peers: Sequence[Peer]) -> "Peers":
        return peers if isinstance(peers, Peers) else cls(Stored.of(peers), {})

    def get(self, number: int) -> Peer | None:
        if number in self._since:
            return self._since[number]
        row = self._stored.find(number)
        return None if row is None else self._stored.peer(row)

    def changed(self, peers: Mapping[int, Peer | None]) -> "Peers":
        made = Peers(self._stored, {**self._since, **peers})
        if len(made._since) <= FOLD_AT:
            return made
        return Peers(self._stored.replaced(made._rows(), made._come()), {})

    def pairs(self, numbers: Mapping[str, Sequence[int]]) -> Pairs:
        """Their registrations; `numbers` as for `Pairs.of`."""
        stored = self._stored.pairs(numbers, self._rows())
        return stored.with_more(Pairs.of(self._come(), numbers))

    def near(self, source: Address, gateway: str, most: int) -> Iterator[Peer]:
        """See `near_to`."""
        least = NEAR[source.version]
        for row in self._stored.near(source, gateway, self._since, least, most):
            yield self._stored.peer(row)
        yield from self._come()

    def not_at(self, gateways: Container[str]) -> Iterator[Peer]:
        """Those that are at none of these gateways."""
        strange = [name not in gateways for name in self._stored.names]
        rows = self._rows()
        at = np.array([*strange, False], bool)[self._stored.gateway[rows]]
        yield from map(self._stored.peer, rows[at].tolist())
        yield from (peer for peer in self._come() if peer.gateway not in gateways)

    def twice(self) -> Iterator[Peer]:
        """Those whose id another one before has; there are none where changes were made."""
        again = np.ones(len(self._stored.ids), bool)
        again[np.unique(self._stored.ids, return_index=True)[1]] = False
        yield from map(self._stored.peer, np.flatnonzero(again).tolist())

    def records(self) -> Iterator[bytes]:
        """Each as the registry would say it."""
        yield from self._stored.records(self._rows())
        yield from map(records.record, self._come())

    def _rows(self) -> Rows:
        """Which of those stored are still as they were."""
        kept = np.ones(len(self._stored.ids), bool)
        found = map(self._stored.find, self._since)
        kept[[row for row in found if row is not None]] = False
        return np.flatnonzero(kept)

    def _come(self) -> Iterable[Peer]:
        return (peer for peer in self._since.values() if peer is not None)

    def __iter__(self) -> Iterator[Peer]:
        stored = self._stored.records(self._rows())
        while some := list(islice(stored, _AT_ONCE)):
            yield from records.parse(some)
        yield from self._come()

    def __len__(self) -> int:
        return len(self._rows()) + sum(1 for _ in self._come())

    @overload
    def __getitem__(self, index: int) -> Peer: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Peer]: ...
    def __getitem__(self, index: int | slice) -> Peer | Sequence[Peer]:
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Iterable) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # it is compared by what it holds


class Names(dict[int, str]):
    """Names of peers by id, looked up as they are asked for: of very many few are."""

    def __init__(self, peers: Sequence[Peer]) -> None:
        super().__init__()
        self._peers = Peers.of(peers)

    def __missing__(self, number: int) -> str:
        peer = self._peers.get(number)
        self[number] = name = "" if peer is None else peer.name
        return name


def pairs_of(peers: Sequence[Peer], numbers: Mapping[str, Sequence[int]]) -> Pairs:
    return peers.pairs(numbers) if isinstance(peers, Peers) else Pairs.of(peers, numbers)


def near_to(peers: Sequence[Peer], source: Address, gateway: str, most: int) -> Collection[Peer]:
    """Of peers those that cover the source, and at the gateway the one that comes nearest; perhaps
    others. Of many that cover it `most` at the gateway, and as many at others: the longest
    prefixes', and of several the lowest ids."""
    return tuple(peers.near(source, gateway, most)) if isinstance(peers, Peers) else peers


def records_of(peers: Sequence[Peer]) -> Iterator[bytes]:
    """Each as the registry would say it."""
    return peers.records() if isinstance(peers, Peers) else map(records.record, peers)
