"""Routers, as their latest reports show them."""

from api.errors import ConflictError, NotFoundError, RefusedError
from api.records import Actor, Head, Json, Report
from api.registry.core import Read, Registry
from api.store import routers
from policy.errors import Problem

# A report lifts no registry above this, far below what reports may say: a router that lies cannot
# leave the registry at a revision which the honest ones can no longer report.
HIGHEST_RISE = 2**52


def get(read: Read, name: str) -> Report:
    report = routers.find(read.connection, name)
    if report is None:
        raise NotFoundError(f"no router {name!r} has reported")
    return report


def page(read: Read, after: str, limit: int) -> tuple[Report, ...]:
    return routers.page(read.connection, after, limit)


def report(
    registry: Registry, actor: Actor, router: str, of: str, revision: int, content: Json
) -> None:
    """Keeps a router's report about revision `revision` of the registry `of`.

    One that is ahead of this registry, which was then restored from a backup, lifts it above.
    """
    with registry.read() as read:
        ahead = _is_ahead(read.head, of, revision)
    if not ahead:
        with registry.store.write() as connection:
            routers.put(connection, Report(router, revision, registry.clock(), content))
        return
    cause = f"router {router} reported revision {revision}"
    with registry.write(actor, cause) as write:
        if _is_ahead(write.head, of, revision):
            write.rise_to(revision + 1, cause)
        routers.put(write.connection, Report(router, revision, write.now, content))


def _is_ahead(head: Head, of: str, revision: int) -> bool:
    if of != head.registry:
        raise ConflictError(
            f"this registry is {head.registry}, the report is about {of}: point the router at its "
            "own registry, or accept this one there",
            "other-registry",
        )
    ahead = revision > head.revision
    if ahead and revision > HIGHEST_RISE:
        rule = f"a registry goes on above {HIGHEST_RISE} by its own changes alone"
        problem = Problem("revision", str(revision), rule)
        raise RefusedError("no registry was ever there", "", (problem,))
    return ahead
