"""The database's schema: from nothing to what the code says, and never less."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from api import migrations
from api.bootstrap import init
from api.database import check, open_store
from api.errors import SettingsError
from api.settings import Settings
from api.store.schema import metadata


@pytest.fixture
def empty(tmp_path: Path) -> Settings:
    return Settings(database_url=f"sqlite:///{tmp_path}/new/registry.db")


def test_from_empty_to_what_the_code_says(empty: Settings) -> None:
    init(empty)
    store = open_store(empty)
    with store.read() as connection:
        assert migrations.current(connection) == migrations.newest() != ""
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        tables = connection.exec_driver_sql("SELECT sql FROM sqlite_master").scalars().all()
    store.close()
    # Neither names nor checks nor partial indexes are among what alembic compares.
    made = "\n".join(table for table in tables if table)
    for part in ("AUTOINCREMENT", "BETWEEN 1 AND 4294967295", "WHERE removed IS NULL"):
        assert part in made


def test_a_missing_database_is_said_to_be(empty: Settings) -> None:
    with pytest.raises(SettingsError, match="there is no database: run `peergate api init`"):
        check(open_store(empty), empty)
    assert not empty.database_file.exists()


def test_an_older_schema_is_refused_until_init_has_been_run(empty: Settings) -> None:
    made = init(empty)
    with sqlite3.connect(empty.database_file) as database:
        # As it stood after a migration that did nothing: what is there must not be made again.
        database.execute("DELETE FROM alembic_version")
        for (table,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ).fetchall():
            database.execute(f"DROP TABLE {table}")
    database.close()
    store = open_store(empty)
    with pytest.raises(SettingsError, match="the database has schema none"):
        check(store, empty)
    store.close()
    again = init(empty)
    assert again.registry != made.registry
    store = open_store(empty)
    check(store, empty)
    store.close()


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database" * 100)
    with pytest.raises(Exception, match="file is not a database"):
        init(Settings(database_url=f"sqlite:///{file}"))
    assert file.read_text() == "not a database" * 100
