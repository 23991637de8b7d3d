"""The registry's rules: four eyes, terms of use, the longest validity."""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import TypedDict

from api.errors import ForbiddenError, RefusedError
from api.event_types import EventType
from api.records import Bounds, Peer, Rules, Terms
from api.registry.core import Expected, Read, Write
from api.registry.permissions import Caller
from api.store import rules
from policy.errors import Problem
from policy.prefixes import Cover
from policy.window import rfc3339

_NEVER = datetime.max.replace(tzinfo=UTC)
_ALWAYS = datetime.min.replace(tzinfo=UTC)


class Changed(TypedDict, total=False):
    four_eyes: bool
    terms: Terms | None
    longest_days: int | None


def current(state: Read | Write) -> Rules:
    return rules.find(state.connection)


def change(write: Write, expected: Expected, fields: Changed) -> Rules:
    before = current(write)
    expected.check(before.version, "the rules")
    after = replace(before, **fields)
    if after == before:
        return before
    after = replace(after, version=before.version + 1)
    rules.save(write.connection, after)
    write.record("rules.change", "rules", before, after)
    write.tell(EventType.RULES_CHANGED, None, {"fields": sorted(fields)})
    return after


def check_eyes(rules: Rules, caller: Caller, authors: Collection[str], what: str) -> None:
    """Whoever is an author of something does not let it in."""
    if rules.four_eyes and caller.identity in authors:
        raise ForbiddenError(
            f"{what} was asked for, or edited, with this same token: by the four-eyes rule "
            "another approver decides",
            "four-eyes",
        )


def check_alone(rules: Rules, before: Peer, after: Peer) -> None:
    """One alone takes from an approved peer, and adds nothing to it."""
    if rules.four_eyes and lets_more_in(before, after):
        raise ForbiddenError(
            f"this lets in more than was approved of peer {before.id}, which by the four-eyes "
            "rule takes two: propose it, and another approver grants it",
            "four-eyes",
        )


def lets_more_in(before: Peer, after: Peer) -> bool:
    had = Cover(map(ip_network, before.sources))
    return (
        not all(had.covers(ip_network(source)) for source in after.sources)
        or (after.valid_from or _ALWAYS) < (before.valid_from or _ALWAYS)
        or (after.valid_until or _NEVER) > (before.valid_until or _NEVER)
        or after.bounds not in (None, before.bounds)
    )


def check_bounds(rules: Rules, bounds: Bounds | None) -> None:
    """Whoever makes an owner's token may use it: what that lets in are two to have agreed on."""
    if rules.four_eyes and bounds is not None and not bounds.within:
        rule = (
            "by the four-eyes rule bounds name the prefixes that sources are within: whoever makes "
            "the owner's token could else let in any address alone"
        )
        problem = Problem("bounds.within", "[]", rule)
        raise RefusedError("the bounds are too wide", "", (problem,))


def check_terms(rules: Rules, acknowledged: str | None) -> None:
    wanted = rules.terms.version if rules.terms is not None else None
    if acknowledged == wanted:
        return
    if rules.terms is None:
        rule = "there are no terms of use here: leave it out"
    else:
        where = f", {rules.terms.url}" if rules.terms.url else ""
        rule = (
            f"who asks acknowledges the operator's terms of use, version {wanted}{where}: read "
            f"them (GET /v1/rules), then send terms: {wanted}"
        )
    problem = Problem("terms", acknowledged or "", rule)
    raise RefusedError("the terms of use are not acknowledged", "terms-of-use", (problem,))


def last_end(rules: Rules, now: datetime, valid_from: datetime | None) -> datetime | None:
    """The latest end of a validity that starts so; None where any end will do."""
    if rules.longest_days is None:
        return None
    start = max(now, valid_from or now)
    try:
        return start + timedelta(days=rules.longest_days)
    except OverflowError:
        return _NEVER


def check_validity(
    rules: Rules, now: datetime, valid_from: datetime | None, valid_until: datetime | None
) -> None:
    end = last_end(rules, now, valid_from)
    if end is not None and (valid_until or _NEVER) > end:
        rule = (
            f"a registration lasts {rules.longest_days} days at most: until {rfc3339(end)}, then "
            "it is renewed"
        )
        problem = Problem("valid_until", rfc3339(valid_until) or "none", rule)
        raise RefusedError("the validity is too long", "", (problem,))
