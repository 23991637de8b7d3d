"""Whose a prefix is, as the operator's own list says (an export of its address management)."""

import csv
import json
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import TextIO

from pydantic import ValidationError

from api.errors import SettingsError
from policy.document import Contact, Document, Text, problems_of
from policy.errors import Problem
from policy.prefixes import Address, Network

_log = logging.getLogger("peergate.api")

# Bytes and lines that are read of it.
MOST_BYTES = 64 * 1024 * 1024
MOST_LINES = 500_000
# So many wrong lines are named.
_NAMED = 5
_COLUMNS = ["prefix", "owner", "contact"]


@dataclass(frozen=True, slots=True)
class Owned:
    """A prefix, and who answers for it."""

    prefix: Network
    owner: str
    contact: str


class _Line(Document):
    prefix: str
    owner: Text
    contact: Contact


class Ownership:
    """The list in force: the last one that could be read as a whole. Nothing without a file."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._stamp: tuple[int, int, int] | None = None
        self._held: dict[tuple[int, int, int], Owned] = {}
        self._lengths: dict[int, list[int]] = {4: [], 6: []}
        # What is wrong with the file as it is now.
        self.problem: str | None = None

    def look(self) -> None:
        """Reads the file if it has changed. Where it is wrong, the list before stays in force."""
        if self._file is None:
            return
        try:
            found = os.stat(self._file)
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            if not stat.S_ISREG(found.st_mode):
                raise SettingsError("is no file")
            with self._file.open(encoding="utf-8-sig", newline="") as opened:
                self._take(read(opened, self._file.suffix))
        except OSError as error:
            self._stamp = None
            self._complain(f"{self._file}: {error.strerror}")
        except SettingsError as error:
            told = "; ".join(map(str, (error, *error.problems)))
            self._complain(f"{self._file}: {told}")
        else:
            self.problem = None
            _log.info("%s: %d prefixes", self._file, len(self._held))

    def find(self, address: Address) -> Owned | None:
        """Of the longest prefix that holds it."""
        number = int(address)
        for length in self._lengths[address.version]:
            head = number >> (address.max_prefixlen - length)
            if owned := self._held.get((address.version, length, head)):
                return owned
        return None

    def _take(self, found: dict[tuple[int, int, int], Owned]) -> None:
        lengths: dict[int, set[int]] = {4: set(), 6: set()}
        for version, length, _ in found:
            lengths[version].add(length)
        # Whoever looks something up meanwhile finds it in the one or the other.
        self._lengths = {v: sorted(each, reverse=True) for v, each in lengths.items()}
        self._held = found

    def _complain(self, told: str) -> None:
        # Whoever reads the log has a terminal.
        problem = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in told)
        if problem != self.problem:
            _log.warning("PEERGATE_PREFIXES_FILE: %s; what was read before stays", problem)
        self.problem = problem


def read(opened: TextIO, suffix: str) -> dict[tuple[int, int, int], Owned]:
    """By version, length and the prefix's bits. CSV with a header, or, where the file's name does
    not end in .csv, a JSON object a line. Raises SettingsError with the wrong lines."""
    if os.fstat(opened.fileno()).st_size > MOST_BYTES:
        raise SettingsError(f"is larger than {MOST_BYTES // 1024 // 1024} MiB: leave prefixes out")
    problems: list[Problem] = []
    wrong = 0
    found: dict[tuple[int, int, int], Owned] = {}
    try:
        for number, fields in _csv(opened) if suffix.lower() == ".csv" else _ndjson(opened):
            if number > MOST_LINES:
                raise SettingsError(f"has more than {MOST_LINES} lines: leave prefixes out")
            try:
                owned = _owned(fields)
            except ValidationError as error:
                told = [Problem(p.field, p.value, p.rule, number) for p in problems_of(error)]
            except ValueError as error:
                told = [Problem("", "", str(error), number)]
            else:
                net = owned.prefix
                head = int(net.network_address) >> (net.max_prefixlen - net.prefixlen)
                found[net.version, net.prefixlen, head] = owned
                continue
            wrong += 1
            problems += told[: max(_NAMED - len(problems), 0)]
    except UnicodeDecodeError:
        raise SettingsError("is not UTF-8") from None
    except csv.Error as error:
        raise SettingsError(f"is no CSV: {error}") from None
    if wrong:
        raise SettingsError(f"{wrong} wrong lines", "", tuple(problems))
    return found


def _csv(text: TextIO) -> Iterator[tuple[int, object]]:
    rows = csv.reader(text, strict=True)
    columns = [name.strip().lower() for name in next(rows, [])]
    if missing := [name for name in _COLUMNS if name not in columns]:
        raise SettingsError(f"its first line names no column {', '.join(missing)}")
    places = {name: columns.index(name) for name in _COLUMNS}
    for row in rows:
        if row:
            yield (
                rows.line_num,
                {name: row[place].strip() for name, place in places.items() if place < len(row)},
            )


def _ndjson(text: TextIO) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(text, 1):
        if line.strip():
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError):
                fields = None
            known = isinstance(fields, dict)
            yield number, {n: fields.get(n) for n in _COLUMNS if n in fields} if known else None


def _owned(fields: object) -> Owned:
    """Raises ValueError, ValidationError among them."""
    if fields is None:
        raise ValueError(
            'not JSON as in {"prefix": "203.0.113.0/24", "owner": ..., "contact": ...}'
        )
    line = _Line.model_validate(fields)
    try:
        prefix = ip_network(line.prefix)
    except ValueError as error:
        raise ValueError(f"prefix: {error}") from None
    return Owned(prefix, line.owner, line.contact)
