"""What is assigned to whom: gateways to routers by label, and states to routers by roll-out."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

from api.records import Head, Point
from api.store import gateways, log
from api.store.engine import Connection
from policy.labels import selects

Labels = Mapping[str, str]

# Revisions that routers are at, or were a moment ago.
_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class View:
    """What a reader may see at one revision: names of gateways, in one state.

    Two views say all that the changes between them depend on. It is cheap to compare and to hash:
    at one revision, all routers that see the same share the same object. `whole`: no gateway of
    that state is left out.
    """

    gateways: frozenset[str]
    point: Point
    whole: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Stage:
    """All gateways of one state of the allowlist, with the labels that each wants."""

    everything: View
    selectors: Mapping[str, Labels]
    _views: dict[frozenset[str], View] = field(default_factory=dict)

    @classmethod
    def of(cls, selectors: Mapping[str, Labels], point: Point) -> "Stage":
        wanting = {name: labels for name, labels in selectors.items() if labels}
        everything = View(frozenset(selectors), point, whole=True)
        return cls(everything, wanting, {frozenset(): everything})

    def view(self, labels: Labels) -> View:
        hidden = frozenset(n for n, wanted in self.selectors.items() if not selects(wanted, labels))
        if (view := self._views.get(hidden)) is None:
            view = View(self.everything.gateways - hidden, self.everything.point)
            view = self._views.setdefault(hidden, view)
        return view


@dataclass(frozen=True, slots=True)
class Assigned:
    """How it was at one revision. `labels` of the routers for which that was different from now;
    without canaries there is no roll-out, and nobody is among the rest."""

    everyone: Stage
    rest: Stage | None
    canaries: Labels
    labels: Mapping[str, Labels | None]

    def view(self, router: str, labels: Labels) -> View:
        """Of the router, which has these labels now."""
        then = self.labels.get(router, labels) or {}
        if self.rest is None or selects(self.canaries, then):
            return self.everyone.view(then)
        return self.rest.view(then)


class Assignments:
    """How it was at the revisions that were asked for last. Many threads may ask."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: OrderedDict[tuple[int, int], Assigned] = OrderedDict()

    def at(self, connection: Connection, head: Head, revision: int) -> Assigned:
        """`revision` is one whose changes are kept, or the head's."""
        key = (head.revision, revision)
        with self._lock:  # whoever comes at the same time waits, and finds it
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
            found = self._known[key] = _assigned(connection, head, revision)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            return found


def _assigned(connection: Connection, head: Head, revision: int) -> Assigned:
    now = gateways.selectors(connection)
    everyone = _stage(connection, now, Point(revision))
    rollout = log.rollout_at(connection, revision, head.rollout)
    rest = None
    if rollout is not None:
        rest = _stage(connection, now, Point(revision, rollout.released))
    return Assigned(
        everyone=everyone,
        rest=rest,
        canaries={} if rollout is None else rollout.canaries,
        labels=log.labels_before(connection, revision),
    )


def _stage(connection: Connection, now: Mapping[str, Labels], point: Point) -> Stage:
    selectors = dict(now)
    for name, before in log.undone(connection, point, log.GATEWAY).gateways.items():
        if before is None:
            selectors.pop(name, None)
        else:
            selectors[name] = before.spec.routers
    return Stage.of(selectors, point)
