"""How each audit record is tied to the one before it. Needs no registry: whoever checks does so
with this and the records alone."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from api.records import Json


@dataclass(frozen=True, slots=True)
class Link:
    """The record of a number, known by its hash: 64 hexadecimal digits."""

    number: int
    hash: str


_FIELDS = {
    *("number", "time", "actor", "from", "request", "action", "subject"),
    *("before", "after", "hash"),
}
# What the first record follows.
START = Link(0, "0" * 64)


def canonical(value: Json) -> str:
    """JSON that is the same text for the same value: sorted names, no spaces, ASCII alone."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def following(before: Link, content: Mapping[str, Json]) -> Link:
    """`content` is the record as it is exported, without its hash.

    The hash is SHA-256 over the canonical form of the record and the hash of the one before.
    """
    text = canonical({**content, "previous": before.hash})
    return Link(before.number + 1, hashlib.sha256(text.encode("ascii")).hexdigest())


class Check:
    """Recomputes a chain from its exported lines, and believes nobody about it.

    `noted` are records known from elsewhere, such as a head that was written down: the chain must
    pass through each of them. Each step yields what it finds wrong.
    """

    def __init__(self, noted: Iterable[Link] = ()) -> None:
        # More than one hash of a number: two who contradict each other are both heard.
        self._noted: dict[int, set[str]] = {}
        for link in (START, *noted):
            self._noted.setdefault(link.number, set()).add(link.hash)
        self.records = 0
        self.last: Link | None = None

    def take(self, line: bytes) -> Iterator[str]:
        self.records += 1
        try:
            content = _read(line)
        except (ValueError, RecursionError) as error:
            yield f"line {self.records}: this is no audit record: {error}"
            return
        stated = Link(content["number"], content.pop("hash"))
        yield from self._place(stated.number)
        before = self._noted.get(stated.number - 1, set())
        if self.last is not None and self.last.number == stated.number - 1:
            before = {self.last.hash}
        found = {following(Link(stated.number - 1, each), content).hash for each in before}
        if found - {stated.hash}:
            yield f"record {stated.number}: was changed: its hash is not that of its content"
        if self._noted.get(stated.number, set()) - {stated.hash}:
            yield (
                f"record {stated.number}: is not the one that was noted: it, or one before it, "
                "was changed and the rest rewritten"
            )
        self.last = stated

    def end(self) -> Iterator[str]:
        last = 0 if self.last is None else self.last.number
        if self.last is None:
            yield "there is no record at all"
        highest = max(self._noted)
        if highest > last > 0:
            yield f"record {last + 1}: is missing, and all up to {highest}: the end was cut off"

    def _place(self, number: int) -> Iterator[str]:
        """Whether this is the number that had to come."""
        if self.last is None:
            if number - 1 not in self._noted:
                yield (
                    f"record {number}: is the first here, and the hash of {number - 1} was not "
                    "noted: what comes before cannot be checked"
                )
        elif number > self.last.number + 1:
            yield f"record {self.last.number + 1}: is missing: the next one here is {number}"
        elif number <= self.last.number:
            yield f"record {number}: is out of order: it comes after {self.last.number}"


def _read(line: bytes) -> dict[str, Json]:
    content = json.loads(line, object_pairs_hook=_once)
    if not isinstance(content, dict) or content.keys() != _FIELDS:
        raise ValueError("it has other fields")
    number, hashed = content["number"], content["hash"]
    if type(number) is not int or number < 1 or not isinstance(hashed, str):
        raise ValueError("it has no number and hash")
    canonical(content)
    return content


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """A name that comes twice could show one value to people and another to us."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found
