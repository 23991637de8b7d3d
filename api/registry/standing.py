"""How routers stand: what they reported, how far behind they are, and what is to be done."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from api.records import Head, Report, Router
from api.registry.assigned import Labels
from api.registry.core import Read, Write
from api.store import log, routers
from policy.labels import selects
from policy.window import rfc3339

# Four reports that did not come, where an agent's settings are the usual ones.
SILENT = timedelta(seconds=120)
# What a change may take, with a guard's or a large table's time.
LATE = timedelta(seconds=60)
# Seconds that the clocks of a router and of this registry may differ by.
CLOCK_BOUND = 2.0


class Health(StrEnum):
    """What is wrong with a router, the worst first."""

    NEW = "new"  # has not reported yet
    SILENT = "silent"
    DETACHED = "detached"  # from one interface at least, or none is named
    AHEAD = "ahead"  # of this registry
    HELD = "held"  # back, a change
    BEHIND = "behind"
    CLOCK = "clock"
    REPAIRED = "repaired"
    GOOD = "good"


@dataclass(frozen=True, slots=True)
class Standing:
    """`lag`: in revisions, and since when. `clock_offset`: seconds that the router's clock is
    ahead of ours, negative where it is behind. `stage`: canary, rest, or no roll-out at all."""

    router: Router
    report: Report | None
    lag: int | None
    behind_since: datetime | None
    clock_offset: float | None
    stage: str | None
    health: Health
    warnings: tuple[str, ...]


def standings(read: Read | Write, found: Iterable[Router]) -> list[Standing]:
    declared = tuple(found)
    reports = routers.reports_of(read.connection, [router.name for router in declared])
    late = {r.revision for r in reports.values() if r.revision < read.head.revision}
    since = {revision: log.time_after(read.connection, revision) for revision in late}
    return [_standing(read, router, reports.get(router.name), since) for router in declared]


def stage_of(head: Head, labels: Labels) -> str | None:
    """Of a router with these labels; None without a staged roll-out."""
    if head.rollout is None:
        return None
    return "canary" if selects(head.rollout.canaries, labels) else "rest"


def _standing(
    read: Read | Write, router: Router, report: Report | None, since: dict[int, datetime | None]
) -> Standing:
    stage = stage_of(read.head, router.labels)
    if report is None:
        never = "has not reported: start its agent with a token of its own, " + _token(router)
        return Standing(router, None, None, None, None, stage, Health.NEW, (never,))
    behind = since.get(report.revision)
    offset = clock_offset(report)
    return Standing(
        router=router,
        report=report,
        lag=max(read.head.revision - report.revision, 0),
        behind_since=behind,
        clock_offset=offset,
        stage=stage,
        health=_health(read, report, behind),
        warnings=(*_ahead(read, report), *_warnings(read.now, report, behind, offset)),
    )


def _health(read: Read | Write, report: Report, behind: datetime | None) -> Health:
    said = report.content
    attached = [each["attached"] for each in said["interfaces"]]
    wrong = {
        Health.SILENT: read.now - report.received > SILENT,
        Health.DETACHED: not attached or not all(attached),
        Health.AHEAD: report.revision > read.head.revision,
        Health.HELD: said["held"] is not None,
        Health.BEHIND: behind is not None and read.now - behind > LATE,
        Health.CLOCK: is_clock_off(report),
        Health.REPAIRED: said["repairs"] > 0,
    }
    return next((health for health, holds in wrong.items() if holds), Health.GOOD)


def _token(router: Router) -> str:
    return f"`peergate router token {router.name}`"


def clock_offset(report: Report) -> float | None:
    """As the router measured it, by a round trip; else by how old the report's time was here."""
    clock = report.content.get("clock") or {}
    measured = clock.get("offset")
    if measured is not None:
        return round(-float(measured), 3)
    said = datetime.fromisoformat(report.content["time"])
    return round((said - report.received).total_seconds(), 3)


def is_clock_off(report: Report) -> bool:
    offset = clock_offset(report)
    return offset is not None and abs(offset) > CLOCK_BOUND


def _ahead(read: Read | Write, report: Report) -> Iterator[str]:
    if report.revision > read.head.revision:
        yield (
            f"is at revision {report.revision}, above this registry, and takes nothing from it: "
            "if the registry was restored from a backup, lift it above (peergate api lift "
            f"--to-revision {report.revision}), else end this router's token"
        )


def _warnings(
    now: datetime, report: Report, behind: datetime | None, offset: float | None
) -> Iterator[str]:
    if now - report.received > SILENT:
        yield (
            f"silent since {rfc3339(report.received)}: look at its agent (systemctl status "
            "peergate-agent) and at its way here; what is in force there stays"
        )
    elif behind is not None and now - behind > LATE:
        yield (
            f"behind since {rfc3339(behind)}: look at its agent's log "
            "(journalctl -u peergate-agent)"
        )
    said = report.content
    if said["held"] is not None:
        yield f"holds back a change: {said['held']}"
    for interface in said["interfaces"]:
        if not interface["attached"]:
            why = interface["error"] or "look at its agent's log"
            yield f"{interface['name']}: the program is not attached, packets pass: {why}"
    if not said["interfaces"]:
        yield "no interface: name its uplinks in `interfaces` of agent.toml"
    if offset is not None and abs(offset) > CLOCK_BOUND:
        yield _clock_warning(offset, said.get("clock"))
    if said["repairs"]:
        yield (
            f"its maps were repaired {said['repairs']} times since its agent started: find out "
            "who else writes to them (bpftool, another agent)"
        )


def _clock_warning(offset: float, clock: dict[str, float] | None) -> str:
    side = "ahead of" if offset > 0 else "behind"
    what = f"its clock is {abs(offset):.1f} s {side} this registry's"
    if clock is not None and abs(clock["correction"] + offset) <= CLOCK_BOUND:
        then = "it judges validity by the registry's time instead"
    else:
        early = "early" if offset > 0 else "late"
        then = f"peers begin and end there by that much too {early}"
    mend = "timedatectl set-ntp true, or start chrony; here too, if many routers say so"
    return f"{what}: {then}: {mend}"
