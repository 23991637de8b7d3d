"""Peers that come as lines of JSON: each is checked as it comes, and kept in a file until all
are there."""

import hashlib
import json
import os
import tempfile
from array import array
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from api.errors import RefusedError
from api.records import Json, State
from policy.document import GatewaySpec, PolicyPeer, problems_of
from policy.errors import Problem
from policy.prefixes import ADDRESSES_PER_ROUTER
from policy.services import SERVICES_PER_ADDRESS

# Of very many problems the first ones are named.
NAMED = 100
# 4,096 sources are 180 KB.
LONGEST = 512 * 1024
_AT_ONCE = 1000
# Of all gateways of a policy: far more than go together.
_HOSTS = ADDRESSES_PER_ROUTER * SERVICES_PER_ADDRESS
# What an export says of a peer, and what that is in an import.
_BECOMES = {
    "pending": State.PENDING,
    "approved": State.APPROVED,
    "active": State.APPROVED,
    "expired": State.APPROVED,
    "rejected": None,
    "revoked": None,
}


@dataclass(frozen=True, slots=True)
class Line:
    """What one line asks for. `content` is a peer in the policy document's words; without bounds
    where the line does not say any."""

    number: int
    content: dict[str, Json]
    state: State


@dataclass(slots=True)
class Complaints:
    """All that is wrong, of which the first are named."""

    named: list[Problem] = field(default_factory=list)
    total: int = 0

    def add(self, line: int | None, *problems: Problem) -> None:
        room = NAMED - len(self.named)
        self.named += [replace(problem, line=line) for problem in problems[:room]]
        self.total += len(problems)

    @contextmanager
    def at(self, line: int) -> Iterator[None]:
        """Takes up what is refused of one line."""
        try:
            yield
        except RefusedError as error:
            self.add(line, *(error.problems or (Problem("", "", str(error)),)))

    def refusal(self, lines: int) -> RefusedError:
        of = f"{self.total} problems" if self.total > 1 else "1 problem"
        more = f", of which the first {NAMED} are named" if self.total > len(self.named) else ""
        message = f"the import is refused, nothing changed: {of} in {lines} lines{more}"
        return RefusedError(message, "", tuple(self.named), self.total)


class Lines:
    """Takes a body piece by piece. Close it in the end: it has a file.

    Of a `policy` they are {"gateway": {...}} or {"peer": {...}}; else each is a peer, in which
    fields that are `known`, because an export has them, are passed over. Peers become pending or
    approved, or, where `state` is None, what their lines say. Those that have ended are left out.
    """

    def __init__(
        self, *, policy: bool, state: State | None, known: frozenset[str], most: int
    ) -> None:
        self._policy = policy
        self._state = state
        self._known = known
        self._most = most
        # On a disk, not in memory: /tmp may be a tmpfs.
        self._file = tempfile.TemporaryFile(dir=os.environ.get("TMPDIR", "/var/tmp"))  # noqa: SIM115
        self._rest = b""
        self._digest = hashlib.sha256()
        self._names = array("Q")
        self._hosts = 0
        self._at: dict[str, int] = {}
        self.gateways: list[GatewaySpec] = []
        self.complaints = Complaints()
        self.count = 0
        self.peers = 0
        self.ended = 0

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def feed(self, piece: bytes) -> None:
        """Raises RefusedError where there is too much of something, OSError without room."""
        self._digest.update(piece)
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._rest) > LONGEST:
            self._take(self._rest)

    def end(self) -> None:
        """There is no more. Raises RefusedError with what is wrong, if anything is."""
        if self._rest:
            self._take(self._rest)
            self._rest = b""
        self._check_twice()
        self.refuse()
        if not self.peers and not self.ended and not self.gateways:
            # More likely a script that failed than somebody who wants all to be gone.
            raise RefusedError("there is nothing in it: nothing changed", "empty-import")

    def check_gateways(self, names: Collection[str]) -> None:
        """Complains of the first line that names one which is not among these."""
        for gateway, line in self._at.items():
            if gateway not in names:
                self.complaints.add(line, Problem("gateway", gateway, "no gateway has this name"))

    def refuse(self) -> None:
        """Raises RefusedError with all complaints, if there are any."""
        if self.complaints.total:
            raise self.complaints.refusal(self.count)

    def batches(self) -> Iterator[list[Line]]:
        """All peers, in the order in which they came."""
        self._file.seek(0)
        batch: list[Line] = []
        for text in self._file:
            number, content, state = json.loads(text)
            batch.append(Line(number, content, State(state)))
            if len(batch) == _AT_ONCE:
                yield batch
                batch = []
        if batch:
            yield batch

    def close(self) -> None:
        self._file.close()

    def _take(self, line: bytes) -> None:
        if len(line) > LONGEST:
            too_long = Problem("", "", f"a line is at most {LONGEST} bytes", self.count + 1)
            raise RefusedError("the import is refused, nothing changed", "", (too_long,), 1)
        self.count += 1
        if not line.strip():
            return
        try:
            data = json.loads(line.decode())
        except (ValueError, RecursionError) as error:
            self.complaints.add(self.count, Problem("", "", _unread(error)))
            return
        if not isinstance(data, dict):
            self.complaints.add(self.count, Problem("", "", "a line is one JSON object"))
            return
        try:
            if self._policy:
                self._policy_line(data)
            else:
                self._peer_line(data)
        except ValidationError as error:
            self.complaints.add(self.count, *problems_of(error))

    def _peer_line(self, data: dict[str, Any]) -> None:
        said = data.pop("state", None)
        for name in self._known & data.keys():
            del data[name]
        spec = PolicyPeer.model_validate(data)
        if said is not None and not (isinstance(said, str) and said in _BECOMES):
            rule = f"a state is one of {', '.join(_BECOMES)}"
            self.complaints.add(self.count, Problem("state", str(said)[:200], rule))
            return
        becomes = _BECOMES[said] if said is not None else State.PENDING
        if becomes is None:
            self.ended += 1
        else:
            self._keep(spec, self._state or becomes)

    def _policy_line(self, data: dict[str, Any]) -> None:
        match data:
            case {"gateway": content, **rest} if not rest:
                spec = GatewaySpec.model_validate(content)
                self._hosts += len(spec.hosts)
                if self._hosts > _HOSTS:
                    raise RefusedError(f"a policy names at most {_HOSTS} gateway addresses")
                self.gateways.append(spec)
            case {"peer": content, **rest} if not rest:
                self._keep(PolicyPeer.model_validate(content), State.APPROVED)
            case _:
                rule = 'a line is {"gateway": {...}} or {"peer": {...}}'
                self.complaints.add(self.count, Problem("", "", rule))

    def _keep(self, spec: PolicyPeer, state: State) -> None:
        self.peers += 1
        if self.peers > self._most:
            raise RefusedError(f"an import is at most {self._most} peers", "too-many-peers")
        self._at.setdefault(spec.gateway, self.count)
        if len(self._at) > _HOSTS:
            raise RefusedError(f"an import names at most {_HOSTS} gateways")
        self._names.append(_hashed(spec.gateway, spec.name))
        content = spec.model_dump(mode="json")
        if "bounds" not in spec.model_fields_set:
            del content["bounds"]
        row = json.dumps([self.count, content, state])
        self._file.write(row.encode() + b"\n")

    def _check_twice(self) -> None:
        """Names of a gateway that stand in several lines. Eight bytes a peer are remembered; of
        those that look alike the names are compared."""
        hashes = np.sort(np.array(self._names, np.uint64))
        alike = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        first: dict[tuple[str, str], int] = {}
        for line in (line for batch in self.batches() for line in batch) if alike else ():
            gateway, name = key = (line.content["gateway"], line.content["name"])
            if _hashed(*key) in alike and first.setdefault(key, line.number) != line.number:
                rule = f"line {first[key]} has a peer of this name at gateway {gateway}"
                self.complaints.add(line.number, Problem("name", name, rule))


def _hashed(*key: str) -> int:
    return hash(key) & 0xFFFF_FFFF_FFFF_FFFF


def _unread(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at character {error.colno}"
    return "not JSON in UTF-8 of a reasonable depth"
