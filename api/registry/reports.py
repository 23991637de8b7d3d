"""What routers say of themselves, of many at once: a thousand have the same change to tell of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from api.errors import ApiError, ConflictError
from api.records import Head, Json, Report
from api.registry import arrivals, rates, router_events
from api.registry.core import Aside, Read, Registry, Write
from api.registry.permissions import Caller
from api.registry.routers import HIGHEST_RISE, check_own, unknown
from api.signing import Signer
from api.store import routers, silences

# Names of the gateways of each router.
Carried = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Proof:
    """What the router shows of its revision: the statement that came with it, and its signature,
    as they stood in the headers."""

    statement: str
    signature: str


@dataclass(frozen=True, slots=True)
class Said:
    """A router's report about revision `revision` of the registry `registry`."""

    caller: Caller
    router: str
    registry: str
    revision: int
    content: Json
    proof: Proof | None = None


def keep(registry: Registry, signer: Signer, said: Sequence[Said]) -> list[ApiError | None]:
    """Keeps each that is right, and says of the others what is wrong.

    One that is ahead of this registry, which was then restored from a backup, lifts it above,
    where it shows that this registry was there; else it is kept, and told that this is not so.
    """
    errors: list[ApiError | None] = [None] * len(said)
    ahead: list[int] = []
    latest: dict[str, Said] = {}
    with registry.read() as read:
        known = routers.labels(read.connection, {one.router for one in said})
        assigned = read.assignments.at(read.connection, read.head, read.head.revision)
        carried = {name: assigned.view(name, of).gateways for name, of in known.items()}
        for at, one in enumerate(said):
            try:
                check_own(one.caller, one.router)
                if one.router not in known:
                    raise unknown(one.router)
                is_ahead = _is_ahead(read.head, one)
            except ApiError as error:
                errors[at] = error
                continue
            if is_ahead and _proven(read, signer, one) is not None:
                ahead.append(at)
                continue
            latest[one.router] = one
            if is_ahead:
                errors[at] = _not_lifted(read.head, one)
    for at in ahead:
        try:
            _rise(registry, signer, said[at], carried)
        except ApiError as error:
            errors[at] = error
    if latest:
        with registry.aside("peergate") as aside:
            gone = _put(aside, list(latest.values()), carried)
        for at, one in enumerate(said):
            if one.router in gone:
                errors[at] = unknown(one.router)
    return errors


def _rise(registry: Registry, signer: Signer, said: Said, carried: Carried) -> None:
    cause = f"router {said.router} reported revision {said.revision}"
    with registry.write(said.caller.actor, cause) as write:
        reach = _proven(write, signer, said)
        if reach is not None and _is_ahead(write.head, said):
            write.rise_to(reach + 1, cause)
        if _put(write, [said], carried):
            raise unknown(said.router)


def _proven(state: Read | Write, signer: Signer, said: Said) -> int | None:
    """A revision that this registry once had, not below the one reported.

    A router's token alone is not believed: whoever has it could send all routers to snapshots.
    """
    if said.proof is None:
        return None
    found = signer.said(said.proof.statement, said.proof.signature, state.now)
    if found is None or found.registry != state.head.registry:
        return None
    return found.revision if said.revision <= found.revision <= HIGHEST_RISE else None


def _not_lifted(head: Head, said: Said) -> ConflictError:
    return ConflictError(
        f"router {said.router} is at revision {said.revision}, this registry at {head.revision}, "
        "and no word with its key's signature shows that it was ever there: if it was restored "
        f"from a backup, lift it by hand, `peergate api lift --to-revision {said.revision}`",
        "not-lifted",
    )


def _put(write: Write | Aside, said: Sequence[Said], carried: Carried) -> set[str]:
    """Returns those that are routers' no more: removed since they were looked for."""
    there = routers.among(write.connection, [one.router for one in said], lock=True)
    gone = {one.router for one in said} - there
    said = [one for one in said if one.router in there]
    if not said:
        return gone
    names = [one.router for one in said]
    before = routers.reports_of(write.connection, names, lock=True)
    reports = [Report(one.router, one.revision, write.now, one.content) for one in said]
    routers.put_reports(write.connection, reports)
    rates.note(write, before, reports, carried)
    silent = silences.end(write.connection, names)
    for report in reports:
        since = silent.get(report.router)
        router_events.tell(write, before.get(report.router), report, since)
    had = {name: report.revision for name, report in before.items()}
    if any(report.revision > had.get(report.router, -1) for report in reports):
        arrivals.tell(write)
    return gone


def _is_ahead(head: Head, said: Said) -> bool:
    if said.registry != head.registry:
        raise ConflictError(
            f"this registry is {head.registry}, the report is about {said.registry}: point the "
            "router at its own registry, or accept this one there",
            "other-registry",
        )
    return said.revision > head.revision
