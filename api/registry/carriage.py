"""Which routers carry which gateways, and what a change makes of that."""

from dataclasses import dataclass, replace

from api.records import Gateway, Router
from api.registry import allowlist, release, routers
from api.registry.assigned import Labels, View
from api.registry.core import Expected, Read
from api.registry.foreseen import Foreseen
from api.registry.standing import stage_of
from api.store import crowds
from api.store import routers as router_rows
from policy.labels import selects


@dataclass(frozen=True, slots=True)
class Carriers:
    """Names of routers that begin to carry a gateway, and of those that no longer do, once that is
    released to all; `peers` are those of the gateway that pass, now or later."""

    gain: tuple[str, ...]
    lose: tuple[str, ...]
    peers: int


@dataclass(frozen=True, slots=True)
class Carried:
    """A gateway, and how many peers pass there, now or later."""

    gateway: Gateway
    peers: int


@dataclass(frozen=True, slots=True)
class Relabelled:
    """A router as it would be, with gateways that come to it, and that go. `stage` is where it is
    in a staged roll-out, and `was` where it was; `foreseen` what that does at the gateways that it
    goes on to carry."""

    router: Router
    gains: tuple[Carried, ...]
    loses: tuple[Carried, ...]
    was: str | None
    stage: str | None
    foreseen: Foreseen


def carriers(read: Read, before: Gateway | None, after: Gateway | None) -> Carriers:
    """Of a gateway as it is, and as it would be; None is not there."""
    labels = router_rows.labels(read.connection)

    def carrying(gateway: Gateway | None) -> set[str]:
        if gateway is None:
            return set()
        return {name for name, each in labels.items() if selects(gateway.spec.routers, each)}

    was, will = carrying(before), carrying(after)
    there = before or after
    names = () if there is None else (there.name,)
    peers = sum(crowds.passing(read.connection, names, read.now).values())
    return Carriers(tuple(sorted(will - was)), tuple(sorted(was - will)), peers)


def relabelled(read: Read, name: str, expected: Expected, labels: Labels) -> Relabelled:
    """Refused where the change itself would be."""
    before = routers.get(read, name)
    expected.check(before.version, f"router {name!r}")
    assigned = read.assignments.at(read.connection, read.head, read.head.revision)
    was, will = assigned.view(name, before.labels), assigned.view(name, labels)
    stage, then = (stage_of(read.head, each) for each in (labels, before.labels))
    foreseen = Foreseen(read.now)
    if stage != then:
        both = was.gateways & will.gateways
        foreseen = release.foresee_stage(read, both, canary=stage == "canary")
    return Relabelled(
        router=replace(before, labels=dict(labels)),
        gains=_carried(read, will, will.gateways - was.gateways),
        loses=_carried(read, was, was.gateways - will.gateways),
        was=then,
        stage=stage,
        foreseen=foreseen,
    )


def _carried(read: Read, view: View, names: frozenset[str]) -> tuple[Carried, ...]:
    """Gateways as the view has them."""
    if not names:
        return ()
    peers = crowds.passing(read.connection, names, read.now)
    return tuple(
        Carried(gateway, peers.get(gateway.name, 0))
        for gateway in allowlist.snapshot(read, view).gateways
        if gateway.name in names
    )
