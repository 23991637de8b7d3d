"""The peers of an allowlist, so that one made from another by changes shares what they share."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Self, overload

from control.model import Peer


class Peers(Sequence[Peer]):
    """Peers by id: many that stay as they are, and on top what became of a few since."""

    def __init__(self, base: dict[int, Peer], since: dict[int, Peer | None]) -> None:
        self._base = base
        self._since = since

    @classmethod
    def of(cls, peers: Sequence[Peer]) -> "Peers":
        return peers if isinstance(peers, Peers) else cls({peer.id: peer for peer in peers}, {})

    def get(self, number: int) -> Peer | None:
        if number in self._since:
            return self._since[number]
        return self._base.get(number)

    def changed(self, peers: Mapping[int, Peer | None]) -> Self:
        return type(self)(self._base, {**self._since, **peers})

    def __iter__(self) -> Iterator[Peer]:
        for number, peer in self._base.items():
            kept = self._since.get(number, peer)
            if kept is not None:
                yield kept
        for number, new in self._since.items():
            if new is not None and number not in self._base:
                yield new

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @overload
    def __getitem__(self, index: int) -> Peer: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Peer]: ...
    def __getitem__(self, index: int | slice) -> Peer | Sequence[Peer]:
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Iterable) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # it is compared by what it holds
