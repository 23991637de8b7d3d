"""Whether the database is there, and of the schema that this code needs."""

from api import migrations
from api.errors import SettingsError
from api.settings import Settings
from api.store import heads
from api.store.engine import Store


def open_store(settings: Settings) -> Store:
    """Opens nothing yet: the first transaction does."""
    return Store(settings.database_url)


def check(store: Store, settings: Settings) -> None:
    """Raises SettingsError where `peergate api init` must come first."""
    name, file = settings.database, settings.database_file
    if file is not None and not file.exists():
        raise SettingsError(f"{name}: there is no database: run `peergate api init`")
    with store.read() as connection:
        found, needed = migrations.current(connection), migrations.newest()
        if found != needed:
            raise SettingsError(
                f"{name}: the database has schema {found or 'none'}, this version needs {needed}: "
                "stop all of its services, then run `peergate api init`, which brings it up to date"
            )
        if not heads.exists(connection):
            raise SettingsError(f"{name}: there is no registry in it: run `peergate api init`")
