"""Whoever tampers with the audit trail, also at the database itself, is found out."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from api.chain import START, Check, Link, following
from api.database import open_store
from api.registry.trail import content
from api.settings import Settings
from api.store import audit
from api.store.schema import audit as table
from api.store.schema import registry
from tests.api.bodies import NOW, text
from tests.api.conftest import Service
from tests.api.test_audit import whole

LINES = 9


@pytest.fixture
def trail(service: Service) -> Service:
    """A registry with nine records or more, of which the first five were made by its seed."""
    service.add_gateway()
    for name in ("a", "b"):
        service.add_peer(name=name)
    return service


def exported(service: Service, after: int = 0) -> list[bytes]:
    answer = service.admin.get("/v1/audit/export", params={"after": after})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    return answer.content.splitlines()


def head(service: Service) -> Link:
    told = service.admin.get("/v1/audit/head").json()
    return Link(told["number"], told["hash"])


def findings(lines: list[bytes], *noted: Link) -> list[str]:
    check = Check(noted)
    found = [finding for line in lines for finding in check.take(line)]
    return found + list(check.end())


@contextmanager
def tampering(settings: Settings) -> Iterator[Connection]:
    """As somebody who owns the database."""
    store = open_store(settings)
    with store.write() as connection:
        if store.tells:
            connection.exec_driver_sql("DROP TRIGGER audit_no_change ON audit")
        else:
            connection.exec_driver_sql("DROP TRIGGER audit_no_update")
            connection.exec_driver_sql("DROP TRIGGER audit_no_delete")
        yield connection
    store.close()


def test_one_that_nobody_touched_is_whole(trail: Service, settings: Settings) -> None:
    lines, end = exported(trail), head(trail)
    assert len(lines) == whole(settings) == end.number >= LINES
    assert findings(lines, end, Link(4, json.loads(lines[3])["hash"])) == []
    assert json.loads(lines[-1])["hash"] == end.hash


def test_a_part_is_checked_from_what_was_noted(trail: Service) -> None:
    lines, end = exported(trail), head(trail)
    early = Link(4, json.loads(lines[3])["hash"])
    later = exported(trail, after=4)
    assert later == lines[4:]
    assert findings(later, early, end) == []
    (unknown,) = findings(later, end)
    assert unknown.startswith("record 5: is the first here, and the hash of 4 was not noted")
    (foreign,) = findings(later, Link(4, "0" * 64))
    assert foreign.startswith("record 5: was changed")


EDITS: dict[str, Any] = {
    "actor": "somebody-else",
    "token": 4711,
    "role": "viewer",
    "address": "192.0.2.99",
    "request": "another",
    "action": "peer.reject",
    "subject": "peer/99",
    "before": None,
    "after": {"name": "a"},
    "time": NOW + timedelta(microseconds=1),
    "hash": "0" * 64,
}


@pytest.mark.parametrize("column", EDITS)
def test_an_edit_is_found_where_it_is(trail: Service, settings: Settings, column: str) -> None:
    end = head(trail)
    number = end.number - 2
    with tampering(settings) as connection:
        of = update(table).where(table.c.number == number)
        assert connection.execute(of.values({column: EDITS[column]})).rowcount == 1
    found = findings(exported(trail), end)
    assert found[0] == f"record {number}: was changed: its hash is not that of its content"
    # With another hash the next one does not follow any more.
    assert len(found) == (2 if column == "hash" else 1)


def test_a_gap_is_found(trail: Service, settings: Settings) -> None:
    end = head(trail)
    with tampering(settings) as connection:
        connection.execute(delete(table).where(table.c.number.in_((3, 7))))
    assert findings(exported(trail), end) == [
        "record 3: is missing: the next one here is 4",
        "record 7: is missing: the next one here is 8",
    ]


def test_a_gap_that_was_closed_is_found(trail: Service, settings: Settings) -> None:
    """All records after it have moved up by one."""
    end = head(trail)
    with tampering(settings) as connection:
        connection.execute(delete(table).where(table.c.number == 3))
        for number in range(4, end.number + 1):
            moved = update(table).where(table.c.number == number)
            connection.execute(moved.values(number=number - 1))
    found = findings(exported(trail), end)
    assert found[0].startswith("record 3: was changed")
    assert found[-1].startswith(f"record {end.number}: is missing")


def test_two_that_changed_places_are_found(trail: Service, settings: Settings) -> None:
    end = head(trail)
    with tampering(settings) as connection:
        for before, after in ((4, -1), (5, 4), (-1, 5)):
            of = update(table).where(table.c.number == before)
            connection.execute(of.values(number=after))
    assert [each.partition(":")[0] for each in findings(exported(trail), end)] == [
        "record 4",
        "record 5",
        "record 6",
    ]


def test_a_tail_that_was_cut_off_is_found(trail: Service, settings: Settings) -> None:
    """The registry's row knows better; and whoever rewrites that too has the noted one against
    them."""
    end = head(trail)
    cut = end.number - 2
    with tampering(settings) as connection:
        connection.execute(delete(table).where(table.c.number > cut))
    assert head(trail) == end
    missing = f"record {cut + 1}: is missing, and all up to {end.number}: the end was cut off"
    lines = exported(trail)
    assert findings(lines, end) == [missing]
    store = open_store(settings)
    with store.write() as connection:
        audit.save_head(connection, Link(cut, json.loads(lines[-1])["hash"]))
    store.close()
    assert findings(lines, head(trail)) == []
    assert findings(lines, head(trail), end) == [missing]


def test_a_chain_that_was_rewritten_is_found_by_what_was_noted(
    trail: Service, settings: Settings
) -> None:
    """Nothing in the database itself can show it."""
    old = head(trail)
    with tampering(settings) as connection:
        link = START
        connection.execute(update(table).where(table.c.number == 2).values(actor="nobody"))
        for record in audit.after(connection, 0, 1000):
            link = following(link, content(record))
            of = update(table).where(table.c.number == record.number)
            connection.execute(of.values(hash=link.hash))
        audit.save_head(connection, link)
    lines = exported(trail)
    said = [
        f"record {old.number}: is not the one that was noted: it, or one before it, was changed "
        "and the rest rewritten"
    ]
    # As long as before: the database's own word on that record does not count for more.
    assert head(trail).number == old.number
    assert findings(lines, head(trail)) == []
    assert findings(lines, head(trail), old) == findings(lines, old, head(trail)) == said
    trail.add_gateway("later", addresses=["198.51.100.5"])
    lines = exported(trail)
    assert findings(lines, head(trail)) == []
    assert findings(lines, head(trail), old) == said
    # A part that begins right after it.
    assert findings(lines[old.number :], head(trail), old) == [
        f"record {old.number + 1}: was changed: its hash is not that of its content"
    ]


def test_a_record_that_was_slipped_in_stops_the_registry(
    trail: Service, settings: Settings
) -> None:
    """A number is given once: the next change would need it."""
    store = open_store(settings)
    with store.write() as connection:
        last = connection.execute(select(table).order_by(table.c.number.desc()).limit(1)).one()
        more = {**last._mapping, "number": last.number + 1}
        connection.execute(insert(table).values(more))
    store.close()
    body = {"name": "t", "role": "viewer"}
    assert trail.admin.post("/v1/tokens", json=body).status_code == 500
    assert [t["name"] for t in trail.admin.get("/v1/tokens").json()["items"]].count("t") == 0
    assert findings(exported(trail)) == [
        f"record {last.number + 1}: was changed: its hash is not that of its content"
    ]


def _doubled(line: bytes) -> bytes:
    return line[:-1] + b', "actor": {"name": "x", "role": null, "token": null}}'


def _previous(line: bytes) -> bytes:
    return line[:-1] + b', "previous": "x"}'


LINE_EDITS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "not JSON": (lambda line: line[:-2], "line 4: this is no audit record"),
    "empty": (lambda _: b"", "line 4: this is no audit record"),
    "not UTF-8": (lambda line: line[:-1] + b"\xff}", "line 4: this is no audit record"),
    "too deep": (lambda _: b"[" * 100_000, "line 4: this is no audit record"),
    "not a number": (
        lambda line: line.replace(b'"number": 4', b'"number": NaN'),
        "line 4: this is no audit record",
    ),
    "a number as text": (
        lambda line: line.replace(b'"number": 4', b'"number": "4"'),
        "line 4: this is no audit record",
    ),
    "true for one": (
        lambda line: line.replace(b'"number": 4', b'"number": true'),
        "line 4: this is no audit record",
    ),
    "a name twice": (_doubled, "line 4: this is no audit record: a name comes twice"),
    "one more field": (_previous, "line 4: this is no audit record: it has other fields"),
    "a nested field": (
        lambda line: line.replace(b'"actor": {', b'"actor": {"more": 1, '),
        "record 4: was changed",
    ),
}


@pytest.mark.parametrize("edit", LINE_EDITS)
def test_a_line_that_was_edited_is_found(trail: Service, edit: str) -> None:
    lines, end = exported(trail), head(trail)
    change, said = LINE_EDITS[edit]
    edited = change(lines[3])
    assert edited != lines[3]
    found = findings([*lines[:3], edited, *lines[4:]], end)
    assert found[0].startswith(said)
    # A line that is none of ours is a gap, too.
    rest = [] if said.startswith("record") else ["record 4: is missing: the next one here is 5"]
    assert found[1:] == rest


def test_lines_in_another_order_are_found(trail: Service) -> None:
    lines, end = exported(trail), head(trail)
    found = findings([*lines[:3], lines[4], lines[3], *lines[5:]], end)
    assert found[0] == "record 4: is missing: the next one here is 5"
    assert found[1] == "record 4: is out of order: it comes after 5"
    doubled = findings([*lines, lines[-1]], end)
    assert doubled[0].startswith(f"record {end.number}: is out of order")


def test_an_empty_file_is_no_trail() -> None:
    assert findings([]) == ["there is no record at all"]


def test_another_registry_has_another_chain(trail: Service, settings: Settings) -> None:
    """What was noted of one does not fit the other, from its first record on."""
    lines = exported(trail)
    store = open_store(settings)
    with store.read() as connection:
        uuid = connection.execute(select(registry.c.uuid)).scalar_one()
    store.close()
    first = json.loads(lines[0])
    assert (first["action"], first["after"]["registry"]) == ("registry.make", uuid)


def test_records_are_listed_the_latest_first(trail: Service) -> None:
    everything = [json.loads(line) for line in exported(trail)]
    pages: list[dict[str, Any]] = []
    cursor = None
    while True:
        query = {"limit": "4", **({"cursor": cursor} if cursor else {})}
        page = trail.admin.get("/v1/audit", params=query).json()
        pages += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
        assert len(page["items"]) == 4
    assert pages == everything[::-1]


def test_records_are_found_by_what_they_say(trail: Service) -> None:
    trail.clock.pass_time(timedelta(hours=1))
    trail.act(1, "revoke", {"reason": "moved"})

    def found(**query: str) -> list[tuple[str, str]]:
        items = trail.admin.get("/v1/audit", params=query).json()["items"]
        return [(each["action"], each["subject"]) for each in items]

    life = [("peer.revoke", "peer/1"), ("peer.approve", "peer/1"), ("peer.request", "peer/1")]
    assert found(subject="peer/1") == life
    assert found(subject="peer/1", limit="1") == life[:1]
    assert found(action="peer.revoke") == life[:1]
    assert found(actor="admin", subject="peer/1") == life
    assert found(actor="nobody") == []
    later = text(NOW + timedelta(minutes=30))
    assert found(subject="peer/1", since=later) == life[:1]
    assert found(subject="peer/1", until=later) == life[1:]
    assert found(subject="peer/1", since=text(NOW + timedelta(hours=1))) == life[:1]
    assert found(subject="peer/1", until=text(NOW + timedelta(hours=1))) == life[1:]
    assert trail.admin.get("/v1/audit", params={"since": "yesterday"}).status_code == 422
