"""A copy of the embedded database, made while the service goes on."""

from dataclasses import dataclass
from pathlib import Path

from api.database import check, open_store
from api.errors import SettingsError
from api.files import flush, make_private
from api.settings import Settings
from api.store import heads
from api.store.sqlite import copy_to


@dataclass(frozen=True, slots=True)
class Backup:
    file: str
    registry: str
    revision: int


def make(settings: Settings, file: Path) -> Backup:
    """Into a file that is not there yet. Copying the database's own file would lose what stands
    only in the log beside it."""
    if settings.database_file is None:
        raise SettingsError(
            f"{settings.database}: PostgreSQL has `pg_dump` for that, see Backup in operations.md"
        )
    store = open_store(settings)
    try:
        check(store, settings)
        make_private(file, b"", "FILE")
        try:
            with store.read() as connection:
                head = heads.head(connection)
                copy_to(connection, file)
            flush(file)
        except BaseException:
            file.unlink()
            raise
    finally:
        store.close()
    return Backup(str(file), head.registry, head.revision)
