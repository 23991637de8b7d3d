"""A snapshot in the registry's JSON, read as it comes: at no time is all of it there as text."""

import re
from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from control import records
from control.allowlist import SnapshotDocument, consistent, gateway_of
from control.model import Allowlist
from control.peers import Peers
from control.stored import Builder
from policy.document import problems_in
from policy.errors import PolicyError

_PEERS = re.compile(rb'"peers"\s*+:\s*+\[')
# An object without objects inside, and what follows it in its list.
_RECORD = re.compile(
    rb'\s*+(\{[^{}"]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^{}"]*+)*+\})\s*+([,\]])', re.DOTALL
)
_NO_RECORDS = re.compile(rb"\s*+\]")
# So few at a time that other threads get their turn.
_AT_ONCE = 32
# A peer's 4,096 sources and its texts take far less.
_LONGEST = 1 << 22


class SnapshotReader:
    """Takes the text in parts of any size, and gives the allowlist at the end.

    What stands around the peers is kept and parsed as a whole, the peers a few at a time. A text
    that cannot be taken apart so is put together again and parsed as a whole, for its errors.
    """

    def __init__(self) -> None:
        self._head = b""
        self._rest = bytearray()
        self._in_peers = False
        self._behind = False
        self._peers = Builder()
        self._pending: list[bytes] = []
        self._count = 0
        self._refused: list[ErrorDetails] = []

    def feed(self, part: bytes) -> None:
        self._rest += part
        if not self._head and (found := _PEERS.search(self._rest)):
            self._head = bytes(self._rest[: found.end()])
            del self._rest[: found.end()]
            self._in_peers = True
        # What is so long and no record yet will not become one.
        if self._in_peers and len(self._rest) < _LONGEST + len(part):
            self._take_records()

    def _take_records(self) -> None:
        at = 0
        if not self._count and (none := _NO_RECORDS.match(self._rest)):
            self._in_peers, self._behind, at = False, True, none.end()
        while self._in_peers and (found := _RECORD.match(self._rest, at)):
            self._pending.append(found[1])
            self._count += 1
            at = found.end()
            if len(self._pending) == _AT_ONCE:
                self._parse()
            if found[2] == b"]":
                self._in_peers, self._behind = False, True
        del self._rest[:at]

    def _parse(self) -> None:
        first, pending = self._count - len(self._pending), self._pending
        self._pending = []
        lines = [records.one_line(record) for record in pending]
        if self._refused:
            self._refused += records.refusals(pending, first)
            return
        try:
            for line, peer in zip(lines, records.parse(pending), strict=True):
                self._peers.add(line, peer)
        except ValidationError:
            self._refused += records.refusals(pending, first)

    def finish(self) -> Allowlist:
        """The allowlist. Raises PolicyError with every problem."""
        self._parse()
        if self._refused and not self._behind:
            raise PolicyError(problems_in(self._refused))
        if not self._behind or (not self._refused and _PEERS.search(self._rest)):
            return _as_a_whole(self._text())
        try:
            document = SnapshotDocument.model_validate_json(self._head + b"]" + self._rest)
        except ValidationError as error:
            raise PolicyError(
                problems_in([*error.errors(include_url=False), *self._refused])
            ) from None
        if self._refused:
            raise PolicyError(problems_in(self._refused))
        return _allowlist(document, Peers(self._peers.stored(), {}))

    def _text(self) -> bytes:
        """All that came, where no record was refused."""
        taken = b",".join(self._peers.records())
        end = b"]" if self._behind else b"," if taken else b""
        return self._head + taken + end + self._rest


def parse_snapshot(text: bytes) -> Allowlist:
    """The allowlist in the registry's JSON. Raises PolicyError with every problem."""
    return read_snapshot((text,))


def read_snapshot(parts: Iterable[bytes]) -> Allowlist:
    reader = SnapshotReader()
    for part in parts:
        reader.feed(part)
    return reader.finish()


def _as_a_whole(text: bytes) -> Allowlist:
    try:
        document = SnapshotDocument.model_validate_json(text)
    except ValidationError as error:
        raise PolicyError(problems_in(error.errors(include_url=False))) from None
    return _allowlist(document, Peers.of([records.peer_of(p.id, p) for p in document.peers]))


def _allowlist(document: SnapshotDocument, peers: Peers) -> Allowlist:
    return consistent(
        Allowlist(
            registry=document.registry,
            revision=document.revision,
            time=document.time,
            gateways=tuple(map(gateway_of, document.gateways)),
            peers=peers,
        )
    )
