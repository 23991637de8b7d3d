"""The one row of the registry's rules."""

from dataclasses import asdict

from sqlalchemy import Connection, insert, select, update

from api.records import Rules, Terms
from api.store.schema import rules


def find(connection: Connection) -> Rules:
    """Rules of version 0 where none were ever set."""
    row = connection.execute(select(rules)).one_or_none()
    if row is None:
        return Rules()
    return Rules(
        version=row.version,
        four_eyes=row.four_eyes,
        terms=None if row.terms is None else Terms(**row.terms),
        longest_days=row.longest_days,
    )


def save(connection: Connection, wanted: Rules) -> None:
    values = {
        "version": wanted.version,
        "four_eyes": wanted.four_eyes,
        "terms": None if wanted.terms is None else asdict(wanted.terms),
        "longest_days": wanted.longest_days,
    }
    done = connection.execute(update(rules).values(**values))
    if not done.rowcount:
        connection.execute(insert(rules).values(id=1, **values))
