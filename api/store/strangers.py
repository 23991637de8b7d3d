"""What routers say of strangers, added up in place; and which of them have to go."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from api.store.keys import key_of_address
from api.store.schema import gateways
from api.store.stranger_tables import stranger_intervals, stranger_totals, strangers
from api.stranger_records import DAYS, MOST, GatewayTotal, Observed, day_of

_ALL_DAYS = 2**DAYS - 1
# Characters of names of routers, beyond which no more are noted.
_ROUTERS = 1000


def begin(
    connection: Connection, router: str, until: datetime, count: int
) -> tuple[bool, int | None]:
    """Whether an interval of `count` strangers is a new one, and which of them is to be taken
    first: None where all are, or a later interval was taken."""
    taken = 0 if count else None
    of = stranger_intervals.c
    engine = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = engine.insert(stranger_intervals).values(router=router, until=until, taken=taken)
    fresh = row.on_conflict_do_nothing().returning(of.router)
    if connection.execute(fresh).scalar_one_or_none() is not None:
        return True, taken
    query = select(of.until, of.taken).where(of.router == router).with_for_update()
    last = connection.execute(query).one()
    if until <= last.until:
        return False, last.taken if until == last.until else None
    connection.execute(
        update(stranger_intervals).where(of.router == router).values(until=until, taken=taken)
    )
    return True, taken


def advance(
    connection: Connection, router: str, until: datetime, before: int, after: int | None
) -> bool:
    """Says that strangers from `before` up to `after` are taken, unless somebody else says so."""
    of = stranger_intervals.c
    here = (of.router == router, of.until == until, of.taken == before)
    return bool(
        connection.execute(update(stranger_intervals).where(*here).values(taken=after)).rowcount
    )


def forget_router(connection: Connection, router: str) -> None:
    """What it said stays; the next one of this name begins anew."""
    connection.execute(delete(stranger_intervals).where(stranger_intervals.c.router == router))


def count_packets(
    connection: Connection, until: datetime, totals: Mapping[int, GatewayTotal]
) -> None:
    """Adds to the day's, by gateway's id."""
    engine = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = engine.insert(stranger_totals)
    had, new = stranger_totals.c, row.excluded
    least = func.least if engine is postgresql else func.min
    added = row.on_conflict_do_update(
        index_elements=[had.gateway_id, had.day],
        set_={
            "packets": least(had.packets + new.packets, MOST),
            "samples": least(had.samples + new.samples, MOST),
        },
    )
    rows = [
        {"gateway_id": number, "day": day_of(until), "packets": t.packets, "samples": t.samples}
        for number, t in sorted(totals.items())
    ]
    if rows:
        connection.execute(added, rows)


def add(
    connection: Connection, router: str, since: datetime, seen: Sequence[tuple[int, Observed]]
) -> None:
    """Each with its gateway's id. In one order for all, so that two that come at once do not
    wait for each other: see `in_order`."""
    engine = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = engine.insert(strangers)
    merged = row.on_conflict_do_update(
        index_elements=[strangers.c.key, strangers.c.gateway_id, strangers.c.service],
        set_=_merged(strangers.c, row.excluded, postgres=engine is postgresql),
    )
    rows = [_row(router, since, number, each) for number, each in seen]
    if rows:
        connection.execute(merged, rows)


def in_order(seen: Sequence[tuple[int, Observed]]) -> list[tuple[int, Observed]]:
    return sorted(seen, key=lambda s: (s[0], key_of_address(s[1].source), s[1].service))


def _row(router: str, since: datetime, gateway_id: int, seen: Observed) -> dict[str, Any]:
    day = day_of(seen.last_seen)
    # Of an interval only its ends are known: they are the same day, or one after the other.
    first = day_of(min(max(seen.first_seen, since), seen.last_seen))
    return {
        "gateway_id": gateway_id,
        "key": key_of_address(seen.source),
        "service": seen.service,
        "first_seen": seen.first_seen,
        "last_seen": seen.last_seen,
        "packets": seen.packets,
        "samples": seen.samples,
        "minutes": seen.minutes,
        "dropped": seen.dropped,
        "last_dropped": seen.last_seen if seen.dropped else None,
        "routers": f",{router},",
        "day": day,
        "days": (1 | 1 << min(day - first, DAYS)) & _ALL_DAYS,
    }


def _merged(had: Any, new: Any, *, postgres: bool) -> dict[str, ColumnElement[Any]]:  # noqa: ANN401  # column collections, which take any name
    least, greatest = (func.least, func.greatest) if postgres else (func.min, func.max)
    place = func.strpos if postgres else func.instr
    # As far as bits are shifted out of sight.
    out = literal(DAYS, new.day.type)
    older = had.days.bitwise_lshift(least(new.day - had.day, out))
    newer = new.days.bitwise_lshift(least(had.day - new.day, out))
    later = new.day >= had.day
    days = case((later, older.bitwise_or(new.days)), else_=had.days.bitwise_or(newer))
    noted = or_(place(had.routers, new.routers) > 0, func.length(had.routers) > _ROUTERS)
    return {
        "first_seen": least(had.first_seen, new.first_seen),
        "last_seen": greatest(had.last_seen, new.last_seen),
        "day": greatest(had.day, new.day),
        "days": days.bitwise_and(literal(_ALL_DAYS, BigInteger())),
        **{
            name: least(had[name] + new[name], literal(MOST, BigInteger()))
            for name in ("packets", "samples", "minutes")
        },
        "dropped": or_(had.dropped, new.dropped),
        # A null is the greatest of all to one of them, and to the other none at all.
        "last_dropped": case(
            (had.last_dropped.is_(None), new.last_dropped),
            (new.last_dropped.is_(None), had.last_dropped),
            else_=greatest(had.last_dropped, new.last_dropped),
        ),
        "routers": case((noted, had.routers), else_=had.routers + func.substr(new.routers, 2)),
    }


def trim(connection: Connection, gateway_id: int | None, most: int, at_once: int) -> bool:
    """Of more than `most` at a gateway, or at all of them, the least persistent go, of those the
    ones that were not seen for longest; whether some must still go."""
    of = strangers.c
    here = [] if gateway_id is None else [of.gateway_id == gateway_id]
    count = connection.execute(
        select(func.count()).select_from(strangers).where(*here)
    ).scalar_one()
    over = count - most
    if over > 0:
        order = (of.minutes, of.last_seen, of.id)
        _drop(connection, select(of.id).where(*here).order_by(*order).limit(min(over, at_once)))
    return over > at_once


def forget(connection: Connection, before: datetime, at_once: int) -> bool:
    """Those not seen since `before`, and those of gateways that are gone; whether there may be
    more of them."""
    of = strangers.c
    gone = select(gateways.c.id).where(gateways.c.removed.is_not(None))
    old = _drop(connection, select(of.id).where(of.last_seen < before).limit(at_once))
    left = _drop(connection, select(of.id).where(of.gateway_id.in_(gone)).limit(at_once))
    connection.execute(delete(stranger_totals).where(stranger_totals.c.day < day_of(before)))
    return at_once in (old, left)


def _drop(connection: Connection, chosen: Any) -> int:  # noqa: ANN401  # a query for ids, of any kind
    """Passes over what somebody is about to write: nobody waits for each other."""
    numbers = connection.execute(chosen.with_for_update(skip_locked=True)).scalars().all()
    if numbers:
        rows = [{"number": number} for number in numbers]
        connection.execute(delete(strangers).where(strangers.c.id == bindparam("number")), rows)
    return len(numbers)
