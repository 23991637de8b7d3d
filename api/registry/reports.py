"""What routers say of themselves, of many at once: a thousand have the same change to tell of."""

from collections.abc import Sequence
from dataclasses import dataclass

from api.errors import ApiError, ConflictError, RefusedError
from api.records import Head, Json, Report
from api.registry import router_events
from api.registry.core import Aside, Registry, Write
from api.registry.permissions import Caller
from api.registry.routers import HIGHEST_RISE, check_own, unknown
from api.store import routers, silences
from policy.errors import Problem


@dataclass(frozen=True, slots=True)
class Said:
    """A router's report about revision `revision` of the registry `registry`."""

    caller: Caller
    router: str
    registry: str
    revision: int
    content: Json


def keep(registry: Registry, said: Sequence[Said]) -> list[ApiError | None]:
    """Keeps each that is right, and says of the others what is wrong.

    One that is ahead of this registry, which was then restored from a backup, lifts it above.
    """
    errors: list[ApiError | None] = [None] * len(said)
    ahead: list[int] = []
    latest: dict[str, Said] = {}
    with registry.read() as read:
        known = routers.among(read.connection, [one.router for one in said])
        for at, one in enumerate(said):
            try:
                check_own(one.caller, one.router)
                if one.router not in known:
                    raise unknown(one.router)
                if _is_ahead(read.head, one):
                    ahead.append(at)
                else:
                    latest[one.router] = one
            except ApiError as error:
                errors[at] = error
    for at in ahead:
        try:
            _rise(registry, said[at])
        except ApiError as error:
            errors[at] = error
    if latest:
        with registry.aside("peergate") as aside:
            _put(aside, list(latest.values()))
    return errors


def _rise(registry: Registry, said: Said) -> None:
    cause = f"router {said.router} reported revision {said.revision}"
    with registry.write(said.caller.actor, cause) as write:
        if _is_ahead(write.head, said):
            write.rise_to(said.revision + 1, cause)
        _put(write, [said])


def _put(write: Write | Aside, said: Sequence[Said]) -> None:
    names = [one.router for one in said]
    before = routers.reports_of(write.connection, names, lock=True)
    reports = [Report(one.router, one.revision, write.now, one.content) for one in said]
    routers.put_reports(write.connection, reports)
    silent = silences.end(write.connection, names)
    for report in reports:
        since = silent.get(report.router)
        router_events.tell(write, before.get(report.router), report, since)


def _is_ahead(head: Head, said: Said) -> bool:
    if said.registry != head.registry:
        raise ConflictError(
            f"this registry is {head.registry}, the report is about {said.registry}: point the "
            "router at its own registry, or accept this one there",
            "other-registry",
        )
    ahead = said.revision > head.revision
    if ahead and said.revision > HIGHEST_RISE:
        rule = f"a registry goes on above {HIGHEST_RISE} by its own changes alone"
        problem = Problem("revision", str(said.revision), rule)
        raise RefusedError("no registry was ever there", "", (problem,))
    return ahead
