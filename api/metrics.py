"""What a Prometheus reads of this process and of its registry."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import UnavailableError
from api.registry import status
from api.registry.core import Read, Registry
from api.registry.figures import SOON, Figures, figures_of

_LOUD = (logging.WARNING, logging.ERROR)
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
# Counting that takes longer than so many seconds, as with a million peers, gets this part of the
# time at most.
_LONG = 1.0
_SHARE = 0.05
# Seconds; whoever waits for changes is answered after 30 at the latest.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class _Messages(logging.Handler):
    """Counts what is logged."""

    def __init__(self, counter: Counter) -> None:
        super().__init__(logging.WARNING)
        self._of = {level: counter.labels(logging.getLevelName(level).lower()) for level in _LOUD}

    def emit(self, record: logging.LogRecord) -> None:
        self._of[min(record.levelno // 10 * 10, logging.ERROR)].inc()


class Metrics:
    """Counts what this process does. A registry's own numbers are added where it is known."""

    def __init__(self) -> None:
        # A second series for each counter, which says when it began.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library forgot it
        self.kept = CollectorRegistry()
        self.requests = Counter(
            "peergate_registry_requests",
            "Requests that were answered; a route in the document's words.",
            ["method", "route", "status"],
            registry=self.kept,
        )
        self.request_seconds = Histogram(
            "peergate_registry_request_seconds",
            "From a request's first byte to its answer's last one, with all that it waited for.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self.kept,
        )
        self._changes = Counter(
            "peergate_registry_changes",
            "Changes that this process committed, by their action in the audit trail.",
            ["action"],
            registry=self.kept,
        )
        self.deliveries = Counter(
            "peergate_registry_webhook_deliveries",
            "Events that this process sent to webhooks, whether or not they were taken.",
            ["outcome"],
            registry=self.kept,
        )
        for outcome in ("delivered", "failed"):
            self.deliveries.labels(outcome)
        self.task_failures = Counter(
            "peergate_registry_task_failures",
            "How often what the registry does by itself failed.",
            ["task"],
            registry=self.kept,
        )
        self.task_done = Gauge(
            "peergate_registry_task_done_timestamp_seconds",
            "When it was last done.",
            ["task"],
            registry=self.kept,
        )
        messages = Counter(
            "peergate_registry_messages",
            "Lines in this process's log of this level.",
            ["level"],
            registry=self.kept,
        )
        self._handler = _Messages(messages)
        ProcessCollector(registry=self.kept)

    def open(self) -> None:
        logging.getLogger("peergate.api").addHandler(self._handler)

    def close(self) -> None:
        logging.getLogger("peergate.api").removeHandler(self._handler)

    def changed(self, actions: Mapping[str, int]) -> None:
        for action, number in actions.items():
            self._changes.labels(action).inc(number)

    def watch(self, registry: Registry, waiting: Callable[[], int]) -> None:
        """From now on a scrape has its numbers too. `waiting`: routers that wait for changes."""
        self.kept.register(_OfRegistry(registry, waiting))

    def text(self) -> bytes:
        """Blocks while the registry is asked."""
        return generate_latest(self.kept)


class _OfRegistry(Collector):
    """Not for two threads. What takes long to count is counted less often."""

    def __init__(self, registry: Registry, waiting: Callable[[], int]) -> None:
        self._registry = registry
        self._waiting = waiting
        self._counted: Figures | None = None
        self._again_at = 0.0

    def describe(self) -> list[Metric]:
        """Nothing: so that its names need not be asked for before the database is there."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield _gauge("routers_waiting", "Routers that wait here for a change.", self._waiting())
        try:
            # Also where nothing is counted: this is how the database is known to be there.
            with self._registry.read() as read:
                found = self._figures(read)
        except UnavailableError:
            yield _gauge("database_up", "1 while the database answers.", 0)
            return
        yield _gauge("database_up", "1 while the database answers.", 1)
        info = {"version": status.version(), "registry": found.registry}
        yield InfoMetricFamily("peergate_registry", "The registry that is served here.", info)
        yield from _of_changes(found)
        yield from _of_cutovers(found, self._registry.clock())
        yield from _of_peers(found)
        yield from _of_routers(found)
        yield _gauges("webhooks", "Webhooks by state.", "state", found.webhooks)

    def _figures(self, read: Read) -> Figures:
        begun = time.monotonic()
        if self._counted is None or begun >= self._again_at:
            self._counted = figures_of(read)
            now = time.monotonic()
            pause = (now - begun) * (1 / _SHARE - 1) if now - begun > _LONG else 0.0
            self._again_at = now + pause
        return self._counted


def _of_changes(found: Figures) -> Iterator[Metric]:
    yield _gauge("revision", "The revision in force.", found.revision)
    for name, text, number in (
        (
            "audit_records",
            "Records in the audit trail: the number of its head.",
            found.audit_records,
        ),
        ("events", "Events so far: the number of the newest one.", found.events),
    ):
        yield CounterMetricFamily(f"peergate_registry_{name}", text, number)
    yield _gauge("rollout", "1 while a staged roll-out is under way.", found.rollout)
    modes = {"enforce": found.enforcing[True], "monitor": found.enforcing[False]}
    yield _gauges("gateways", "Gateways by what they do now.", "mode", modes)


def _of_cutovers(found: Figures, now: datetime) -> Iterator[Metric]:
    step = GaugeMetricFamily(
        "peergate_registry_cutover_step_timestamp_seconds",
        "When a planned cut-over switches, or one that has switched lapses unless it is confirmed.",
        labels=["gateway", "state"],
    )
    for cutover, at in found.cutovers:
        step.add_metric([cutover.gateway, str(cutover.shown(now))], at.timestamp())
    yield step
    text = "Strangers that a cut-over under way would cut off, or does."
    strangers = {cutover.gateway: cutover.strangers for cutover, _ in found.cutovers}
    yield _gauges("cutover_strangers", text, "gateway", strangers)


def _of_peers(found: Figures) -> Iterator[Metric]:
    yield _gauges("peers", "Peers; each is in one state.", "state", found.peers.states)
    soon = {name: found.peers.expiring[span] for name, span in SOON.items()}
    yield _gauges("peers_expiring", "Active peers that end within this time.", "within", soon)
    waiting = found.peers.proposals
    yield _gauge("proposals", "Changes of peers that wait for an approver.", waiting)
    text = "Strangers that knocked within a day."
    yield _gauges("strangers_active", text, "gateway", found.strangers)


def _of_routers(found: Figures) -> Iterator[Metric]:
    health = {str(each): number for each, number in found.routers.items()}
    yield _gauges("routers", "Routers by the worst that is wrong with them.", "health", health)
    revisions, behind = found.slowest
    text = "of the router that is furthest behind, of those that report."
    yield _gauge("slowest_router_revisions", f"Revisions behind, {text}", revisions)
    yield _gauge("slowest_router_seconds", f"Time behind, {text}", behind.total_seconds())


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"peergate_registry_{name}", text, value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    made = GaugeMetricFamily(f"peergate_registry_{name}", text, labels=[label])
    for of, value in values.items():
        made.add_metric([of], value)
    return made


class Measured:
    """Counts each request with its status, and how long it took."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Of one that raises the framework says so outside of us.
        status = 500
        begun = time.monotonic()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            # Names that anybody could make up are none of ours.
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path_format", "none")
            self._metrics.requests.labels(method, route, str(status)).inc()
            seconds = time.monotonic() - begun
            self._metrics.request_seconds.labels(method, route).observe(seconds)
