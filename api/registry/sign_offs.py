"""Sign-offs: strangers that somebody ignores on purpose, and says so."""

from dataclasses import replace
from datetime import datetime

from api.errors import ConflictError, NotFoundError, RefusedError
from api.event_types import EventType
from api.records import Json
from api.registry import gateways
from api.registry.core import Expected, Read, Write
from api.store import sign_offs
from api.stranger_records import SignOff
from policy.errors import Problem
from policy.prefixes import Network
from policy.window import rfc3339

# At one gateway.
MOST = 10_000
# It is made and taken back, and never changed.
VERSION = 1


def get(state: Read | Write, number: int) -> SignOff:
    found = sign_offs.find(state.connection, number)
    if found is None:
        raise NotFoundError(f"there is no sign-off {number}")
    return found


def page(read: Read, gateway: str | None, after: int, limit: int) -> tuple[SignOff, ...]:
    return sign_offs.page(read.connection, gateway, after, limit)


def sign_off(
    write: Write, gateway: str, prefix: Network, reason: str, until: datetime | None
) -> SignOff:
    """From now on, until then or for good. One of this very prefix that has ended gives way."""
    if until is not None and until <= write.now:
        problem = Problem("until", str(rfc3339(until)), "this is in the past: name a later time")
        raise RefusedError("nothing would be signed off", "", (problem,))
    try:
        there = gateways.get(write, gateway)
    except NotFoundError:
        missing = Problem("gateway", gateway, "no gateway has this name")
        raise ConflictError("the gateway is not there", "no-gateway", (missing,)) from None
    before = sign_offs.find_at(write.connection, gateway, prefix)
    if before is not None and before.holds(write.now):
        raise ConflictError(
            f"{before.written} at {gateway} is signed off already, by {before.created_by} "
            f"(sign-off {before.id}): to say something else, take that back first",
            "signed-off",
        )
    if before is not None:
        _remove(write, before)
    if sign_offs.count(write.connection, there.id) >= MOST:
        raise ConflictError(f"{gateway} has {MOST} sign-offs, which is as many as there may be")
    fresh = SignOff(0, gateway, prefix, reason, until, write.now, write.author)
    made = replace(fresh, id=sign_offs.add(write.connection, there.id, fresh))
    write.record("stranger.sign-off", f"sign-off/{made.id}", None, made)
    write.tell(EventType.STRANGER_SIGNED_OFF, made.id, _shown(made))
    return made


def take_back(write: Write, number: int, expected: Expected) -> None:
    found = get(write, number)
    expected.check(VERSION, f"sign-off {number}")
    _remove(write, found)


def _remove(write: Write, found: SignOff) -> None:
    sign_offs.remove(write.connection, found.id)
    write.record("stranger.take-back", f"sign-off/{found.id}", found, None)
    write.tell(EventType.STRANGER_TAKEN_BACK, found.id, _shown(found))


def _shown(found: SignOff) -> dict[str, Json]:
    return {
        "gateway": found.gateway,
        "prefix": found.written,
        "reason": found.reason,
        "until": rfc3339(found.until),
    }
