"""What is guarded: addresses with their services, gateways with their windows.

It stands twice in the maps. A change is written whole into the half that is not in force, which
one store then puts in force: a packet sees all of it or nothing.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from control import syscalls
from control.arrays import BpfArray, in_order
from control.columns import Rows
from control.errors import DataPlaneError, MapFullError
from control.hashing import Column, hash_address
from control.maps import CType
from control.model import GatewayRow, Tables, Target
from control.rows import (
    fill_address,
    gateway_value,
    read_address,
    read_gateway,
    read_target,
    target_value,
)
from policy.prefixes import Address
from policy.window import FOREVER_NS

K = TypeVar("K")
V = TypeVar("V")
Guarded = tuple[dict[int, GatewayRow], dict[Address, Target]]

_PLACE_BITS = np.uint64(16)
_SLOTS = 8
_DIRECT_SHIFT = np.uint64(54)  # PG_DIRECT_BITS
_SEVERAL = 0xFFFF
_TRIES = 32  # of seeds, before a line may use another slot


@dataclass(frozen=True, slots=True)
class Types:
    """ctypes of the values."""

    target: CType
    gateway: CType


class Guard:
    """Both halves, and the word that says which is in force."""

    def __init__(self, arrays: dict[str, BpfArray], types: Types) -> None:
        self._root = arrays["root"].rows
        self._direct = self._root["direct"].reshape(2, -1)  # of each half
        self._lines = arrays["addresses"].rows["word"]
        self._targets = arrays["targets"].rows
        self._gateways = arrays["gateways"].rows
        self._types = types
        self._ours: Guarded | None = None
        self._written: list[bytes] = []
        self.addresses_max = len(self._targets) // 2
        self.gateways_max = len(self._gateways) // 2 - 1

    def gateways(self) -> dict[int, GatewayRow]:
        """Every gateway by its number, those removed among them."""
        rows = self._half_of(self._gateways)
        used = np.flatnonzero((rows["name"] != b"").any(axis=1))
        return {
            int(number): read_gateway(self._types.gateway.from_buffer_copy(rows[number]))
            for number in used
        }

    def targets(self) -> dict[Address, Target]:
        """Those that packets can find. One that is not as we write it has no services."""
        found: dict[Address, Target] = {}
        always = _always(self.gateways())
        lines = self._half_of(self._lines)
        for line, slots in enumerate(lines):
            for slot in slots[: int(np.argmin(slots != 0)) if not slots.all() else _SLOTS]:
                number = int(slot & np.uint64(0xFFFF)) - 1
                if not (0 <= number < len(self._targets) and number % 2 == self._half()):
                    continue
                record = self._types.target.from_buffer_copy(self._targets[number])
                try:
                    address = read_address(record.address)
                except ValueError:
                    continue
                hashes = hash_address(*self._numbers([address]), int(self._root["guard"][0]))
                if self._line(hashes)[0] == line and (hashes[0] ^ slot) >> _PLACE_BITS == 0:
                    target = read_target(record)
                    meant = target_value(self._types.target, address, target, always)
                    whole = meant == bytes(record)
                    found[address] = target if whole else Target(())
        return found

    def adopt(self) -> int:
        """Take what is there for ours; how much led to no target, or not to its own: it is gone."""
        self._ours = self.gateways(), self.targets()
        lines, direct = self._half_of(self._lines), self._direct[self._half()]
        strays = int(np.count_nonzero(lines)) - len(self._ours[1])
        strays += int(np.count_nonzero(direct != _direct(lines)))
        if strays:
            self.hold(*self._ours)
        self._written = [rows.tobytes() for rows in self._in_force()]
        return strays

    def held(self) -> Guarded:
        """What was written or adopted."""
        if self._ours is None:
            self.adopt()
            assert self._ours is not None
        gateways, targets = self._ours
        return dict(gateways), dict(targets)

    def check(self) -> int:
        """Repair what is not as it was written; how many rows were not."""
        ours = self.held()
        if [rows.tobytes() for rows in self._in_force()] == self._written:
            return 0
        found = self.gateways(), self.targets()
        self.hold(*ours)
        return max(1, _differing(found[0], ours[0]) + _differing(found[1], ours[1]))

    def _in_force(self) -> tuple[Rows, ...]:
        """The half in force, and the word that says which it is."""
        halves = (self._half_of(rows) for rows in (self._lines, self._targets, self._gateways))
        return self._root["guard"], self._direct[self._half()], *halves

    def refusal(
        self, gateways: Mapping[int, GatewayRow], targets: Mapping[Address, Target]
    ) -> DataPlaneError | None:
        """The error for what `hold` has no room for."""
        if (highest := max(gateways, default=0)) > self.gateways_max:
            return MapFullError("gateways", self.gateways_max, highest, "max_gateways")
        if len(targets) > self.addresses_max:
            return DataPlaneError(
                f"{len(targets)} gateway addresses: a router carries at most "
                f"{self.addresses_max}; spread the gateways over more routers"
            )
        return None

    def change(self, write: Tables, delete: Tables) -> DataPlaneError | None:
        """Hold what comes besides, and not what goes. The error for what found no room."""
        gateways, targets = self.held()
        gateways.update(write.gateways)
        targets.update(write.targets)
        for number in delete.gateways:
            gateways.pop(number, None)
        for address in delete.targets:
            targets.pop(address, None)
        refused = self.refusal(gateways, targets)
        self.hold(gateways, targets)
        return refused

    def hold(self, gateways: Mapping[int, GatewayRow], targets: Mapping[Address, Target]) -> None:
        """Make this what is guarded, at once; what has no room is left out."""
        gateways = {n: row for n, row in gateways.items() if n <= self.gateways_max}
        targets = dict(list(self._with_rows(targets).items())[: self.addresses_max])
        syscalls.grace_period()
        half = 1 - self._half()
        self._write_gateways(half, gateways)
        rows = np.zeros(self.addresses_max, self._targets.dtype)
        always = _always(gateways)
        for i, (address, target) in enumerate(targets.items()):
            value = target_value(self._types.target, address, target, always)
            rows[i] = np.frombuffer(value, rows.dtype)[0]
        self._targets[half::2] = rows
        guard, lines = self._lines_of(half, list(targets))
        self._lines[half::2] = lines
        self._direct[half] = _direct(lines)
        in_order()
        self._root["guard"][0] = guard
        self._ours = gateways, targets
        self._written = [rows.tobytes() for rows in self._in_force()]

    def _with_rows(self, targets: Mapping[Address, Target]) -> dict[Address, Target]:
        """Without the services of gateways that have no row here: larger tables guard those."""
        here = {}
        for address, target in targets.items():
            known = tuple(offer for offer in target.services if offer[1] <= self.gateways_max)
            if known == target.services:
                here[address] = target
            elif known:
                here[address] = replace(target, services=known)
        return here

    def _write_gateways(self, half: int, gateways: Mapping[int, GatewayRow]) -> None:
        rows = np.zeros(self.gateways_max + 1, self._gateways.dtype)
        for number, row in gateways.items():
            value = gateway_value(self._types.gateway, row)
            rows[number] = np.frombuffer(value, rows.dtype)[0]
        self._gateways[half::2] = rows

    def _lines_of(self, half: int, addresses: list[Address]) -> tuple[int, Rows]:
        """What `guard` becomes, by which every address has a slot of its own, and the lines.

        Each slot that a line may use, all packets look at: they are kept few.
        """
        numbers = self._numbers(addresses)
        for tried in range(_TRIES * _SLOTS):
            last = tried // _TRIES
            guard = secrets.randbits(60) << 4 | last << 1 | half
            hashes = hash_address(*numbers, guard)
            at, tags = self._line(hashes), hashes >> _PLACE_BITS
            fullest = np.bincount(at, minlength=1).max()
            if len(np.unique(tags)) == len(tags) and fullest <= last + 1:
                break
        else:
            raise DataPlaneError(
                f"{len(addresses)} gateway addresses: no hash tells them all apart; try again"
            )
        lines = np.zeros((len(self._lines) // 2, _SLOTS), np.uint64)
        used = np.zeros(len(lines), np.int64)
        for i, line in enumerate(at):
            lines[line, used[line]] = tags[i] << _PLACE_BITS | np.uint64(2 * i + half + 1)
            used[line] += 1
        return guard, lines

    def _numbers(self, addresses: list[Address]) -> tuple[Column, Column, Column]:
        """The columns of struct pg_address."""
        numbers = np.zeros((3, len(addresses)), np.uint64)
        record = self._types.target().address
        for i, address in enumerate(addresses):
            fill_address(record, address)
            numbers[:, i] = (*record.number, record.version)
        return numbers[0], numbers[1], numbers[2]

    def _line(self, hashes: Column) -> Rows:
        lines = len(self._lines) // 2
        return (hashes >> np.uint64(40) & np.uint64(lines - 1)).astype(np.int64)

    def _half(self) -> int:
        return int(self._root["guard"][0]) & 1

    def _half_of(self, rows: Rows) -> Rows:
        return rows[self._half() :: 2]


def _direct(lines: Rows) -> Rows:
    """By the first bits of a hash, which target: none, one, or that lines tell."""
    slots = lines[lines != 0]
    at = (slots >> _DIRECT_SHIFT).astype(np.int64)
    count = np.bincount(at, minlength=1024)
    direct = np.zeros(len(count), np.uint16)
    direct[at] = slots & np.uint64(_SEVERAL)
    direct[count > 1] = _SEVERAL
    return direct


def _always(gateways: Mapping[int, GatewayRow]) -> set[int]:
    """Those that enforce whatever the time is: their services say so."""
    return {
        number
        for number, row in gateways.items()
        if (row.enforce_from, row.enforce_until) == (0, FOREVER_NS)
    }


def _differing(found: Mapping[K, V], ours: Mapping[K, V]) -> int:
    return sum(found.get(key) != ours.get(key) for key in found.keys() | ours.keys())
