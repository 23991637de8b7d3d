"""Counts for whoever watches the registry: each is one pass."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, case, false, func, or_, select

from api.records import State
from api.store.schema import gateways, peers, webhooks
from api.store.stranger_tables import strangers


@dataclass(frozen=True, slots=True)
class PeerCounts:
    """Each peer is in one state; `future` are approved and not yet valid. `proposals`: so many
    have a change that waits. `expiring`: active ones that end within this time."""

    states: dict[str, int]
    proposals: int
    expiring: dict[timedelta, int]


def peer_counts(connection: Connection, now: datetime, within: tuple[timedelta, ...]) -> PeerCounts:
    """One row of sums: grouped by state, SQLite would look each peer up by an index."""
    approved = peers.c.state == State.APPROVED.value
    over = and_(peers.c.valid_until.is_not(None), peers.c.valid_until <= now)
    future = and_(~over, peers.c.valid_from.is_not(None), peers.c.valid_from > now)
    active = and_(approved, ~over, ~future)
    states = {
        **{
            state.value: peers.c.state == state.value
            for state in (State.PENDING, State.REJECTED, State.REVOKED)
        },
        "active": active,
        "future": and_(approved, future),
        "expired": and_(approved, over),
    }
    soon = [and_(active, peers.c.valid_until <= now + span) for span in within]
    conditions = [*states.values(), *soon, peers.c.proposal.is_not(None)]
    query = select(*map(_how_many, conditions)).select_from(peers)
    found = list(connection.execute(query).one())
    proposals = found.pop()
    return PeerCounts(
        states=dict(zip(states, found[: len(states)], strict=True)),
        proposals=proposals,
        expiring=dict(zip(within, found[len(states) :], strict=True)),
    )


def _how_many(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def strangers_since(connection: Connection, since: datetime) -> dict[str, int]:
    """By gateway, how many knocked there since then; of each gateway that there is."""
    knocked = and_(strangers.c.gateway_id == gateways.c.id, strangers.c.last_seen >= since)
    query = (
        select(gateways.c.name, func.count(strangers.c.id).label("number"))
        .select_from(gateways.outerjoin(strangers, knocked))
        .where(gateways.c.removed.is_(None))
        .group_by(gateways.c.name)
    )
    return {row.name: row.number for row in connection.execute(query)}


def webhooks_by_state(connection: Connection) -> dict[str, int]:
    """`failing`: the next event was tried in vain, and will be again; `failed`: no more."""
    off = webhooks.c.enabled == false()
    state = case(
        (off, "off"),
        (webhooks.c.failed.is_not(None), "failed"),
        (or_(webhooks.c.failing_since.is_not(None), webhooks.c.failures > 0), "failing"),
        else_="good",
    ).label("state")
    query = select(state, func.count().label("number")).group_by(state)
    found = {row.state: row.number for row in connection.execute(query)}
    return {name: found.get(name, 0) for name in ("good", "failing", "failed", "off")}
