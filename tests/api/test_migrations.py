"""The database's schema: from nothing to what the code says, and never less."""

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
from tests.api.conftest import on_postgresql, on_sqlite
from tests.postgresql import Server

# Neither names nor checks nor partial indexes nor collations are among what alembic compares.
_MADE = {
    "sqlite": (
        "SELECT sql FROM sqlite_master",
        ("AUTOINCREMENT", "BETWEEN 1 AND 4294967295", "WHERE removed IS NULL"),
    ),
    "postgresql": (
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " UNION ALL SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint"
        " UNION ALL SELECT table_name || '.' || column_name || ' ' || collation_name"
        " FROM information_schema.columns WHERE table_schema = 'public'",
        (
            "ck_peers_u32 CHECK (((id >= 1) AND (id <= '4294967295'::bigint)))",
            "fk_peers_gateway_id FOREIGN KEY",
            "WHERE (removed IS NULL)",
            "gateways.name C",
            "reports.router C",
            "routers.name C",
            "peers.name C",
        ),
    ),
}


def test_from_empty_to_what_the_code_says(empty: Settings) -> None:
    init(empty)
    store = open_store(empty)
    with store.read() as connection:
        assert migrations.current(connection) == migrations.newest() != ""
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        query, parts = _MADE[connection.dialect.name]
        rows = connection.exec_driver_sql(query).scalars().all()
    store.close()
    made = "\n".join(row for row in rows if row)
    for part in parts:
        assert part in made


@on_sqlite
def test_a_missing_database_is_said_to_be(empty: Settings) -> None:
    with pytest.raises(SettingsError, match="there is no database: run `peergate api init`"):
        check(open_store(empty), empty)
    assert empty.database_file is not None
    assert not empty.database_file.exists()


def test_an_absent_server_is_said_to_be_absent(postgresql_server: Server) -> None:
    there = Settings(database_url=postgresql_server.url("nowhere"))
    with pytest.raises(SettingsError, match='database "nowhere" does not exist') as refused:
        init(there)
    assert str(refused.value).startswith(f"{there.database}: the database does not answer")


@on_postgresql
def test_tables_in_which_nothing_is_yet(empty: Settings) -> None:
    store = open_store(empty)
    with pytest.raises(SettingsError, match="the database has schema none"):
        check(store, empty)
    store.close()


def test_a_database_that_cannot_hold_all_text(postgresql_server: Server) -> None:
    with (
        postgresql_server.database(encoding="LATIN1") as url,
        pytest.raises(SettingsError, match="has the encoding LATIN1, the registry needs UTF8"),
    ):
        init(Settings(database_url=url))


def test_an_older_schema_is_refused_until_init_has_been_run(empty: Settings) -> None:
    made = init(empty)
    store = open_store(empty)
    with store.write() as connection:
        # As it stood after a migration that did nothing: what is there must not be made again.
        metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")
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
