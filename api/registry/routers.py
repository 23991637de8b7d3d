"""Routers: declared, labelled, removed; and what they report."""

from collections.abc import Mapping
from dataclasses import replace

from api.errors import ConflictError, ForbiddenError, NotFoundError
from api.event_types import EventType
from api.records import Router
from api.registry import arrivals
from api.registry.core import Expected, Read, Write
from api.registry.permissions import Caller
from api.store import routers, strangers, tokens
from policy.errors import Problem

# No registry is lifted above this, far below what reports may say: so that routers can report
# what comes after it.
HIGHEST_RISE = 2**52


def get(state: Read | Write, name: str) -> Router:
    router = routers.find(state.connection, name)
    if router is None:
        raise unknown(name)
    return router


def unknown(name: str) -> NotFoundError:
    return NotFoundError(f"there is no router {name!r}: `peergate router add {name}` makes it")


def page(
    read: Read, after: str, limit: int, *, prefix: str, labelled: Mapping[str, str]
) -> tuple[Router, ...]:
    return routers.page(read.connection, after, limit, prefix, labelled)


def create(write: Write, name: str, labels: dict[str, str]) -> Router:
    if routers.find(write.connection, name) is not None:
        taken = Problem("name", name, "a router has this name already")
        raise ConflictError("the name is taken", "name-taken", (taken,))
    # Above that of any router of this name before, whose removal was a revision.
    version = write.head.revision + 1
    router = Router(name, labels, version, write.now, write.author)
    routers.add(write.connection, router)
    # Labels are a revision's, so that who knows a revision knows what each router sees there.
    if labels:
        write.touch_router(name, {})
    write.record("router.add", f"router/{name}", None, router)
    write.tell(EventType.ROUTER_ADDED, name, {"labels": labels})
    return router


def ensure(write: Write, name: str) -> Router:
    """The router of that name, made without labels if it is not there."""
    return routers.find(write.connection, name) or create(write, name, {})


def relabel(write: Write, name: str, expected: Expected, labels: dict[str, str]) -> Router:
    """All its labels anew. What is assigned to it changes with the revision that this makes."""
    before = get(write, name)
    expected.check(before.version, f"router {name!r}")
    if labels == before.labels:
        return before
    version = max(before.version, write.head.revision) + 1
    after = replace(before, labels=labels, version=version)
    routers.change(write.connection, after)
    write.touch_router(name, before.labels)
    write.record("router.label", f"router/{name}", before, after)
    write.tell(EventType.ROUTER_LABELLED, name, {"labels": labels})
    return after


def remove(write: Write, name: str, expected: Expected) -> None:
    """Its tokens end with it; what it has in force stays there."""
    router = get(write, name)
    expected.check(router.version, f"router {name!r}")
    for token in tokens.of_router(write.connection, name):
        tokens.revoke(write.connection, token.id, write.now)
        write.record("token.revoke", f"token/{token.id}", token, None)
        shown = {"name": token.name, "role": token.role.value}
        write.tell(EventType.TOKEN_REVOKED, token.id, shown)
    routers.remove(write.connection, name)
    strangers.forget_router(write.connection, name)
    write.touch_router(name, router.labels)
    write.record("router.remove", f"router/{name}", router, None)
    write.tell(EventType.ROUTER_REMOVED, name)
    arrivals.tell(write)


def seen_by(caller: Caller, wanted: str | None) -> str | None:
    """The router whose part of the allowlist is meant; None is all of it. Raises ForbiddenError."""
    if caller.router is None:
        return wanted
    if wanted not in (None, caller.router):
        raise ForbiddenError(_another(caller, wanted or ""), "other-router")
    return caller.router


def check_own(caller: Caller, name: str) -> None:
    """A router's token reports for no other one. Raises ForbiddenError."""
    if caller.router not in (None, name):
        raise ForbiddenError(_another(caller, name), "other-router")


def _another(caller: Caller, name: str) -> str:
    return (
        f"the token {caller.name!r} is for router {caller.router!r}, not for {name!r}: set "
        f"`router` to that name in agent.toml, or make a token: `peergate router token {name}`"
    )
