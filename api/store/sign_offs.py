"""Rows of sign-offs: one of a prefix at a gateway."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, or_, select

from api.store import keys
from api.store.keys import Spot, key_of_prefix, prefix_of
from api.store.schema import gateways
from api.store.stranger_tables import sign_offs
from api.stranger_records import SignOff
from policy.prefixes import Network


def _every() -> Select[Any]:
    """Of gateways that are there, by id."""
    return (
        select(sign_offs, gateways.c.name.label("gateway"))
        .join(gateways, gateways.c.id == sign_offs.c.gateway_id)
        .where(gateways.c.removed.is_(None))
        .order_by(sign_offs.c.id)
    )


def _sign_off(row: Row[Any]) -> SignOff:
    return SignOff(
        id=row.id,
        gateway=row.gateway,
        prefix=prefix_of(row.key),
        reason=row.reason,
        until=row.until,
        created=row.created,
        created_by=row.created_by,
    )


def find(connection: Connection, number: int) -> SignOff | None:
    row = connection.execute(_every().where(sign_offs.c.id == number)).one_or_none()
    return None if row is None else _sign_off(row)


def find_at(connection: Connection, gateway: str, prefix: Network) -> SignOff | None:
    query = _every().where(gateways.c.name == gateway, sign_offs.c.key == key_of_prefix(prefix))
    row = connection.execute(query).one_or_none()
    return None if row is None else _sign_off(row)


def page(
    connection: Connection, gateway: str | None, after: int, limit: int
) -> tuple[SignOff, ...]:
    query = _every().where(sign_offs.c.id > after).limit(limit)
    if gateway is not None:
        query = query.where(gateways.c.name == gateway)
    return tuple(map(_sign_off, connection.execute(query)))


def count(connection: Connection, gateway_id: int) -> int:
    query = select(func.count()).select_from(sign_offs).where(sign_offs.c.gateway_id == gateway_id)
    return connection.execute(query).scalar_one()


def add(connection: Connection, gateway_id: int, fresh: SignOff) -> int:
    """Its id; the one in the record does not count."""
    row = insert(sign_offs).values(
        gateway_id=gateway_id,
        key=key_of_prefix(fresh.prefix),
        reason=fresh.reason,
        until=fresh.until,
        created=fresh.created,
        created_by=fresh.created_by,
    )
    number: int = connection.execute(row.returning(sign_offs.c.id)).scalar_one()
    return number


def remove(connection: Connection, number: int) -> None:
    connection.execute(delete(sign_offs).where(sign_offs.c.id == number))


def over(connection: Connection, spots: Iterable[Spot], now: datetime) -> dict[Spot, SignOff]:
    """Of these sources those that are signed off now; of several the longest prefix's."""

    def fetch(
        wanted: Sequence[bytes], gateway_ids: set[int]
    ) -> Iterator[tuple[int, bytes, SignOff]]:
        query = _every().where(
            sign_offs.c.key.in_(wanted),
            sign_offs.c.gateway_id.in_(gateway_ids),
            or_(sign_offs.c.until.is_(None), sign_offs.c.until > now),
        )
        for row in connection.execute(query):
            yield row.gateway_id, row.key, _sign_off(row)

    return {spot: found[0] for spot, found in keys.over(spots, fetch).items()}
