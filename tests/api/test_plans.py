"""How SQLite looks things up where nobody has counted its rows."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from sqlalchemy import Connection, event

from api.store import knocks, stranger_search, tokens
from tests.api.bodies import NOW
from tests.api.conftest import Service, on_sqlite

SOURCE = ip_address("203.0.113.7")


@on_sqlite
@pytest.mark.parametrize(
    "look",
    [
        lambda connection: knocks.registered(connection, [(1, SOURCE)], NOW),
        lambda connection: list(knocks.holding(connection, 1, [ip_network(SOURCE)], NOW)),
        lambda connection: stranger_search.covering(connection, [(1, SOURCE)], NOW),
    ],
)
def test_who_has_a_source_is_found_by_it(
    service: Service, look: Callable[[Connection], object]
) -> None:
    """Not by whether it is approved: that are a million."""
    service.add_gateway()
    service.add_peer()
    steps = steps_of(service, look)
    first = next(step for step in steps if step.startswith(("SEARCH", "SCAN")))
    assert first.startswith("SEARCH peer_sources USING PRIMARY KEY (key=?"), steps


@on_sqlite
def test_revoked_tokens_are_counted_by_themselves(service: Service) -> None:
    """Each peer's owner may have one that works."""
    (step,) = steps_of(service, tokens.count_revoked)
    assert "INDEX ix_tokens_revoked" in step


def steps_of(service: Service, look: Callable[[Connection], object]) -> list[str]:
    """How the first of its questions is answered."""
    asked: list[tuple[str, Any]] = []
    with service.app.state.registry.read() as read:

        def note(*given: Any) -> None:  # noqa: ANN401
            asked.append((given[2], given[3]))

        event.listen(read.connection, "before_cursor_execute", note)
        look(read.connection)
        (statement, parameters), *_ = asked
        plan = read.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        return [row[3] for row in plan]
