"""What a Prometheus reads of this router, taken from kernel and gate whenever it asks."""

import logging
import os
import platform
from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from control import pins, state
from control.clock import read_clocks
from control.follow import Follower
from control.gate import Gate
from control.interfaces import Uplinks, look
from control.model import Allowlist, Count
from control.report import NO_GATEWAY, peergate_version
from control.settings import Settings
from control.tally import Tally
from policy.window import to_ns

# What counts where no gateway is known, and nowhere else.
_NO_GATEWAY_VERDICTS = ("other", "bystander")
# Seconds; a registry's change takes milliseconds, a million peers take a minute.
_SYNC_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_LOUD = (logging.WARNING, logging.ERROR)


class _Messages(logging.Handler):
    """Counts what is logged; errors that have no line of their own are none of ours."""

    def __init__(self, counter: Counter) -> None:
        super().__init__(logging.WARNING)
        self._of = {level: counter.labels(logging.getLevelName(level).lower()) for level in _LOUD}

    def emit(self, record: logging.LogRecord) -> None:
        self._of[min(record.levelno // 10 * 10, logging.ERROR)].inc()


class Metrics(Collector):
    """Not for two threads, and only in turn with what writes to the maps."""

    def __init__(
        self,
        gate: Gate,
        settings: Settings,
        uplinks: Uplinks,
        follower: Follower | None,
    ) -> None:
        # A second series for each counter, which says when it began.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library forgot it
        self.registry = CollectorRegistry()
        self.tally = Tally()
        self._gate = gate
        self._settings = settings
        self._uplinks = uplinks
        self._follower = follower
        self._sync = Histogram(
            "peergate_sync_seconds",
            "From the registry's word on an allowlist, or from a policy file's reading, until "
            "it was in force here.",
            ["kind"],
            buckets=_SYNC_BUCKETS,
            registry=self.registry,
        )
        for kind in ("file",) if follower is None else ("snapshot", "changes"):
            self._sync.labels(kind)
        messages = Counter(
            "peergate_agent_messages",
            "Lines in the agent's log of this level: each change of state is one.",
            ["level"],
            registry=self.registry,
        )
        logging.getLogger("control").addHandler(_Messages(messages))
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def in_force(self, allowlist: Allowlist) -> None:
        """It is now. The registry's word has its clock's time, a policy file has the maps'."""
        clock, reading, word = self._gate.clock, read_clocks(), allowlist.word
        if word is None:
            kind, said, ahead = "file", allowlist.time, clock.correction(reading)
        else:
            kind, said, ahead = word.kind, word.time, clock.ahead(reading) or 0
        seconds = (reading.wall + ahead - to_ns(said)) / 1e9
        self._sync.labels(kind).observe(max(seconds, 0.0))

    def count(self) -> Iterator[None]:
        """Count the entries, in steps; the next scrape shows how many there are."""
        tally, plane = Tally(), self._gate.plane
        for _ in tally.count(plane.in_parts(), self._gate.now()):
            yield
            if plane is not self._gate.plane:
                return  # outgrown meanwhile; and perhaps closed
        self.tally = tally

    def collect(self) -> Iterator[Metric]:
        """Raises DataPlaneError."""
        info = {"version": peergate_version(), "kernel": platform.release()}
        yield InfoMetricFamily("peergate_agent", "The agent that runs here.", info)
        yield from self._packets()
        yield from self._gateways()
        yield from self._entries()
        yield from self._allowlist()
        yield from self._interfaces()
        yield from self._clock()

    def _packets(self) -> Iterator[Metric]:
        labels = ["gateway", "verdict", "action"]
        packets = CounterMetricFamily("peergate_packets", "Packets seen.", labels=labels)
        octets = CounterMetricFamily("peergate_bytes", "Bytes of these packets.", labels=labels)
        names = {number: row.name for number, row in self._gate.plane.gateways().items()}
        names[NO_GATEWAY] = ""
        for number, counts in self._gate.plane.counters().items():
            for name, count in counts.items():
                verdict, _, action = name.rpartition("_")
                if _is_shown(number, verdict, count):
                    packets.add_metric([names[number], verdict, action], count.packets)
                    octets.add_metric([names[number], verdict, action], count.bytes)
        yield packets
        yield octets

    def _gateways(self) -> Iterator[Metric]:
        """Those that have addresses; of others only the counters are left."""
        enforces = GaugeMetricFamily(
            "peergate_gateway_enforces",
            "1 while the gateway enforces, 0 while it monitors.",
            labels=["gateway"],
        )
        rows, targets = self._gate.plane.guarded()
        now = self._gate.now()
        for number in sorted({number for each in targets.values() for number in each.gateways}):
            row = rows[number]
            enforces.add_metric([row.name], row.enforce_from <= now < row.enforce_until)
        yield enforces

    def _entries(self) -> Iterator[Metric]:
        entries = GaugeMetricFamily(
            "peergate_entries",
            "Entries in the maps: a source at a gateway.",
            labels=["kind", "state"],
        )
        for labels, number in self.tally.entries.items():
            entries.add_metric(labels, number)
        yield entries
        soon = GaugeMetricFamily(
            "peergate_entries_expiring",
            "Active entries that end within this time.",
            labels=["within"],
        )
        for within, number in self.tally.expiring.items():
            soon.add_metric([within], number)
        yield soon
        yield GaugeMetricFamily(
            "peergate_maps_bytes",
            "Memory that the maps take.",
            self._gate.plane.sizes.bytes(os.cpu_count() or 1),
        )
        yield CounterMetricFamily(
            "peergate_repairs",
            "Rows of the maps that differed from the allowlist and were repaired.",
            self._gate.repairs,
        )

    def _allowlist(self) -> Iterator[Metric]:
        gate, follower = self._gate, self._follower
        applied = gate.applied or (state.applied(self._settings.state_dir) if gate.filled else None)
        revision = 0 if applied is None else applied.revision
        known = [revision]
        if gate.held is not None:
            known.append(gate.held.allowlist.revision)
        if follower is not None and follower.word is not None:
            known.append(follower.word.revision)
        for name, text, value in (
            ("filled", "1 once the maps hold a whole allowlist.", gate.filled),
            ("applied_revision", "The revision in force, 0 before the first one.", revision),
            ("known_revision", "The newest revision that came here.", max(known)),
            ("change_held", "1 while a change is held back.", gate.held is not None),
        ):
            yield GaugeMetricFamily(f"peergate_{name}", text, value)
        if follower is not None:
            yield GaugeMetricFamily(
                "peergate_registry_followed",
                "1 while the registry answers and its answers are taken.",
                follower.heard is not None and follower.trouble is None,
            )
            yield GaugeMetricFamily(
                "peergate_registry_heard_timestamp_seconds",
                "When the registry signed its newest word that came here, 0 before the first one.",
                0 if follower.heard is None else follower.heard.timestamp(),
            )

    def _interfaces(self) -> Iterator[Metric]:
        attached = GaugeMetricFamily(
            "peergate_interface_attached",
            "1 while our program sits on the interface, and in the way asked for.",
            labels=["interface", "attach"],
        )
        programs = pins.Programs(self._settings.bpffs)
        for name in self._settings.interfaces:
            found = look(name, self._settings.attach, programs)
            attached.add_metric([name, found.attach], found.attached and found.error is None)
        yield attached
        yield CounterMetricFamily(
            "peergate_interface_put_back",
            "How often our program had been taken off an interface and was put back.",
            self._uplinks.put_back,
        )

    def _clock(self) -> Iterator[Metric]:
        kept, reading = self._gate.clock, read_clocks()
        ahead = kept.ahead(reading)
        if ahead is not None:
            yield GaugeMetricFamily(
                "peergate_clock_offset_seconds",
                "How far the registry's clock is ahead of this router's.",
                ahead / 1e9,
            )
        yield GaugeMetricFamily(
            "peergate_clock_correction_seconds",
            "How far the time that validity is judged by is ahead of this router's clock.",
            kept.correction(reading) / 1e9,
        )
        yield GaugeMetricFamily(
            "peergate_clock_synchronised",
            "1 while the kernel says that this router's clock is synchronised.",
            reading.synchronised,
        )


def _is_shown(number: int, verdict: str, count: Count) -> bool:
    """All that may come to count, from the start; else only what has counted, against all odds."""
    return count.packets > 0 or (number == NO_GATEWAY) == (verdict in _NO_GATEWAY_VERDICTS)
