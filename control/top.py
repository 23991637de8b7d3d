"""What goes on at a router, an interval at a time: rates by gateway and verdict, and who is behind.

Read from the pinned maps, as by `status`; nothing is changed, and the agent need not run. Counters
are exact. Strangers are estimated by the samples that the program takes of them, peers by a tap.
"""

import time
from collections import Counter
from collections.abc import Container, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import TracebackType
from typing import Self

from control.columns import Rows
from control.dataplane import NO_GATEWAY, DataPlane
from control.errors import ControlError, LinkError
from control.flows import flow
from control.lock import holder
from control.model import Count
from control.peers import Names
from control.samples import Samples, possible_cpus
from control.settings import Settings
from control.snapshot import NAME, load_snapshot
from control.stranger_report import service
from control.tap import Tap
from control.weights import Weights
from policy.prefixes import Address
from policy.window import from_ns

# Of packets of peers so many samples a second are aimed at, and read at one time at most.
SAMPLES = 256
_AT_ONCE = 4 * SAMPLES
# Seconds after which it is known how many packets pass, to take few of them.
_FIRST_LOOK = 0.15
# A larger snapshot takes longer to read than anybody wants to wait for names: ids are shown.
_SNAPSHOT_BYTES = 16 * 1024 * 1024
_NO_AGENT = "no agent runs: strangers are hardly sampled, and changes do not come"


@dataclass(frozen=True, slots=True)
class Rate:
    """Per second."""

    packets: float
    bytes: float


@dataclass(frozen=True, slots=True)
class GatewayRates:
    """By verdict_action, those with any. `name` is None where no gateway is known."""

    name: str | None
    enforces: bool
    rates: Mapping[str, Rate]

    def packets(self, verdicts: Container[str], action: str) -> float:
        """Packets a second of these verdicts that were passed, or dropped."""
        parts = {name: name.rpartition("_") for name in self.rates}
        return sum(
            self.rates[name].packets
            for name, (verdict, _, ended) in parts.items()
            if ended == action and verdict in verdicts
        )

    @property
    def total(self) -> Rate:
        rates = self.rates.values()
        return Rate(sum(each.packets for each in rates), sum(each.bytes for each in rates))


@dataclass(frozen=True, slots=True)
class Busy:
    """A source at a gateway with its estimated packets a second, and the samples behind that.

    `who` is the peer's name, or the service that a stranger talks to.
    """

    gateway: str
    source: Address
    who: str
    packets: float
    samples: int
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """One interval, of so many seconds. `troubles`: what is not shown, and why."""

    router: str
    agent: int | None
    time: datetime
    seconds: float
    gateways: tuple[GatewayRates, ...]
    peers: tuple[Busy, ...]
    strangers: tuple[Busy, ...]
    troubles: tuple[str, ...]


class Watcher:
    """Call `sample` some times a second, and `view` at the end of each interval."""

    def __init__(self, settings: Settings) -> None:
        """Raises DataPlaneError where nothing is pinned."""
        self._settings = settings
        self._held = ExitStack()
        self._peers: Names | None = None
        self._written: int | None = None
        self._learn()
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.close()

    def _open(self) -> None:
        """The maps in force, and a tap behind each interface."""
        self._plane = self._held.enter_context(DataPlane.current(self._settings.bpffs))
        self._taps: list[Tap] = []
        self._troubles: list[str] = []
        addresses = list(self._plane.targets())
        for interface in self._settings.interfaces:
            try:
                self._taps.append(self._held.enter_context(Tap(interface, addresses)))
            except LinkError as error:
                self._troubles.append(error.message)
        numbers = self._plane.gateways()
        of_strangers = self._plane.counted.of_strangers(numbers)
        self._weights = Weights(of_strangers, len(possible_cpus()))
        self._aimed = False
        self._begin(self._plane.counters())

    def _begin(self, counted: dict[int, dict[str, Count]]) -> None:
        self._since, self._counted = time.monotonic(), counted
        self._passed: Counter[tuple[int, int, Address]] = Counter()

    def sample(self) -> None:
        """Look at who passed since this was last called. Raises DataPlaneError."""
        if not self._aimed and (seconds := self._seconds()) >= _FIRST_LOOK:
            self._aim(self._rates(self._plane.counters(), seconds))
        for tap in self._taps:
            for frame in tap.read(_AT_ONCE):
                said = self._plane.explain(frame, _time_of(self._plane))
                if said.verdict != "registered" or said.gateway is None or said.entry is None:
                    continue
                if (whose := flow(frame)) is not None:
                    self._passed[said.gateway, said.entry.peer, whose.source] += 1

    def view(self) -> View:
        """What went on since the last one. Raises DataPlaneError."""
        self.sample()
        plane, seconds, passed = self._plane, self._seconds(), self._passed
        if self._peers is None or not all(self._peers[peer] for _, peer, _ in passed):
            self._learn()
        of_strangers = plane.counted.of_strangers(plane.gateways())
        samples = plane.samples.read()
        counted = plane.counters()
        rates = self._rates(counted, seconds)
        self._begin(counted)
        rows = plane.gateways()
        names = {number: row.name for number, row in rows.items()}
        now = _time_of(plane)
        enforced = {n for n, row in rows.items() if row.enforce_from <= now < row.enforce_until}
        there = {number for target in plane.targets().values() for number in target.gateways}
        agent = holder(self._settings.state_dir)
        view = View(
            router=self._settings.router,
            agent=agent,
            time=from_ns(now),
            seconds=seconds,
            gateways=tuple(
                GatewayRates(names.get(number), number in enforced, rates[number])
                for number in sorted(rates)
                if number in there or rates[number] or number == NO_GATEWAY
            ),
            peers=self._busy_peers(passed, rates, names),
            strangers=self._strangers(samples, of_strangers, names, seconds),
            troubles=(*self._troubles, *(() if agent else (_NO_AGENT,))),
        )
        self._aim(rates)
        assert plane.pin_dir is not None
        if not plane.pin_dir.is_dir():  # larger ones have come in their place
            self._held.close()
            self._open()
        return view

    def _learn(self) -> None:
        """The names on disk, where an agent has written others down since."""
        written = _written(self._settings.state_dir)
        if written != self._written:
            self._written = written
            found = _names(self._settings.state_dir)
            self._peers = self._peers if found is None else found

    def _seconds(self) -> float:
        return max(time.monotonic() - self._since, 0.001)

    def _rates(
        self, counted: Mapping[int, Mapping[str, Count]], seconds: float
    ) -> dict[int, dict[str, Rate]]:
        return {
            number: _rates(self._counted.get(number, {}), counts, seconds)
            for number, counts in counted.items()
        }

    def _aim(self, rates: Mapping[int, Mapping[str, Rate]]) -> None:
        """Each tap to as many samples as are wanted, by what passes now."""
        to_gateways = sum(
            rate.packets
            for number, each in rates.items()
            if number != NO_GATEWAY
            for name, rate in each.items()
            if name.endswith("_pass")
        )
        self._aimed = True
        for tap in self._taps:
            tap.take_one_in(max(1, round(to_gateways / SAMPLES)))

    def _busy_peers(
        self,
        passed: Counter[tuple[int, int, Address]],
        rates: Mapping[int, Mapping[str, Rate]],
        names: Mapping[int, str],
    ) -> tuple[Busy, ...]:
        """What is counted as registered at a gateway, shared out among the samples of it."""
        sampled: Counter[int] = Counter()
        for (gateway, _, _), count in passed.items():
            sampled[gateway] += count
        found = []
        for (gateway, peer, source), count in passed.items():
            rate = rates.get(gateway, {}).get("registered_pass")
            packets = 0.0 if rate is None else rate.packets * count / sampled[gateway]
            named = "" if self._peers is None else self._peers[peer]
            who = named or f"peer {peer}"
            found.append(Busy(names.get(gateway, "-"), source, who, packets, count))
        return _by_rate(found)

    def _strangers(
        self,
        samples: Samples,
        counted: Mapping[int, Rows],
        names: Mapping[int, str],
        seconds: float,
    ) -> tuple[Busy, ...]:
        weights, _ = self._weights.weigh(samples, counted)
        packets: Counter[tuple[int, Address, str]] = Counter()
        count: Counter[tuple[int, Address, str]] = Counter()
        dropped = set()
        for row, weight in zip(samples.rows, weights.tolist(), strict=True):
            high, low = row["number"].tolist()
            four = int(row["version"]) == 4
            source = IPv4Address(low) if four else IPv6Address(high << 64 | low)
            key = int(row["gateway"]), source, service(int(row["protocol"]), int(row["port"]))
            packets[key] += weight
            count[key] += 1
            if row["dropped"]:
                dropped.add(key)
        return _by_rate(
            [
                Busy(
                    names.get(n, "-"), s, to, rate / seconds, count[n, s, to], (n, s, to) in dropped
                )
                for (n, s, to), rate in packets.items()
            ]
        )


def _written(state_dir: Path) -> int | None:
    """When the allowlist was, in ns; None where there is none."""
    try:
        return (state_dir / NAME).stat().st_mtime_ns
    except OSError:
        return None


def _names(state_dir: Path) -> Names | None:
    """Of peers, as the allowlist on disk has them; None where it is too large to be read."""
    try:
        if (state_dir / NAME).stat().st_size > _SNAPSHOT_BYTES:
            return None
        snapshot = load_snapshot(state_dir)
    except (OSError, ControlError):
        return None
    return None if snapshot is None else Names(snapshot.peers)


def _rates(
    before: Mapping[str, Count], after: Mapping[str, Count], seconds: float
) -> dict[str, Rate]:
    nothing = Count(0, 0)
    found = {}
    for name, count in after.items():
        was = before.get(name, nothing)
        if count.packets > was.packets:
            packets, size = count.packets - was.packets, count.bytes - was.bytes
            found[name] = Rate(packets / seconds, size / seconds)
    return found


def _by_rate(found: list[Busy]) -> tuple[Busy, ...]:
    return tuple(sorted(found, key=lambda busy: -busy.packets))


def _time_of(plane: DataPlane) -> int:
    """What the program takes for now; the wall clock, before an agent has set that."""
    offset = plane.clock()
    return time.monotonic_ns() + offset if offset else time.time_ns()
