"""Peers written many at a time: what registry.peers does with one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from api.errors import ConflictError
from api.records import Bounds, Json, Peer, State
from api.registry import peers
from api.registry.core import Write
from api.registry.permissions import Caller
from api.store import gateways as gateway_rows
from api.store import peers as peer_rows
from policy.errors import Problem

_NOT_NAMED = "not named in the policy that was applied"

Content = Mapping[str, Json]


def add(
    write: Write,
    wanted: Iterable[tuple[Content, State]],
    caller: Caller,
    terms: str | None = None,
) -> None:
    """New peers, each in the policy document's words, and its state; `terms` are those that were
    acknowledged for the pending ones. Whatever the rules say. Raises ConflictError."""
    fresh = [
        _new(write, content, state, caller, terms if state is State.PENDING else None)
        for content, state in wanted
    ]
    if not fresh:
        return
    ids = gateway_rows.ids(write.connection)
    if missing := {peer.gateway for peer in fresh} - ids.keys():
        problem = Problem("gateway", min(missing), "no gateway has this name")
        raise ConflictError("a peer's gateway is not there", "no-gateway", (problem,))
    numbers = peer_rows.add_many(write.connection, fresh, ids)
    for peer, number in zip(fresh, numbers, strict=True):
        peers.note(write, None, replace(peer, id=number))


def save(write: Write, pairs: Iterable[tuple[Peer, Peer]], *, unnamed: bool = False) -> None:
    """Each as it was, and as it should be. With `unnamed` the caller gives them their names later,
    before the change ends."""
    changed = [
        (before, following)
        for before, after in pairs
        if (following := peers.following(write, before, after)) is not before
    ]
    if changed:
        rows = [(after, before) for before, after in changed]
        peer_rows.save_many(write.connection, rows, unnamed=unnamed)
    for before, after in changed:
        peers.note(write, before, after)


def revocations(write: Write, going: Iterable[Peer]) -> Iterator[tuple[Peer, Peer]]:
    """Of approved peers that a policy does not name."""
    return ((each, peers.decided(write, each, State.REVOKED, _NOT_NAMED)) for each in going)


def matched(write: Write, before: Peer, content: Content) -> Peer:
    """What a policy makes of one that is pending or approved."""
    after = replace(before, **fields_of(content))
    if before.state is State.PENDING:
        after = peers.decided(write, after, State.APPROVED, None)
    return after


def _new(write: Write, content: Content, state: State, caller: Caller, terms: str | None) -> Peer:
    fields = fields_of(content)
    listed = state is State.APPROVED and write.lists(fields["valid_until"])
    return replace(
        peers.blank(write, content["gateway"], state, caller, terms), listed=listed, **fields
    )


def fields_of(content: Content) -> dict[str, Any]:
    """As peers.filled takes them out of a specification."""
    return {
        "name": content["name"],
        "owner": content["owner"],
        "contact": content["contact"],
        "purpose": content["purpose"],
        "sources": tuple(content["sources"]),
        "valid_from": moment(content["valid_from"]),
        "valid_until": moment(content["valid_until"]),
        # Where they are not said they stay.
        **({"bounds": bounds_of(content)} if "bounds" in content else {}),
    }


def bounds_of(content: Content) -> Bounds | None:
    bounds = content.get("bounds")
    return None if bounds is None else Bounds.of(bounds)


def moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
