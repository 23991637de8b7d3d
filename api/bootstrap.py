"""The first steps on a machine: the database, the registry in it, and a token for its admin."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from api import migrations
from api.database import check, open_store
from api.errors import SettingsError
from api.records import Role
from api.registry import tokens
from api.registry.core import Registry, utc_now
from api.settings import Settings
from api.store import heads
from api.store.engine import Store


@dataclass(frozen=True, slots=True)
class InitResult:
    """`token` is the first admin token's text, shown this once; None where the database was
    there already and has only been brought to the schema of this version."""

    database: str
    registry: str
    token: str | None


def init(settings: Settings) -> InitResult:
    """Makes database, registry and first admin token; or brings an older database up to date.

    Refused where all is there and up to date: a second call must not make a second admin.
    """
    _make_file(settings.database_file)
    with _opened(settings) as store, store.write() as connection:
        found = migrations.current(connection)
        if found == migrations.newest() and heads.exists(connection):
            raise SettingsError(
                f"{settings.database_name}: there is a registry already. Its admins make tokens "
                "with POST /v1/tokens; where the last admin token is lost, "
                "`peergate api token` on this machine makes one"
            )
        migrations.upgrade(connection)
        fresh = not heads.exists(connection)
        if fresh:
            heads.create(connection, str(uuid4()), utc_now())
        uuid = heads.head(connection).registry
    token = admin_token(settings) if fresh else None
    return InitResult(settings.database_name, uuid, token)


def admin_token(settings: Settings, name: str = "admin") -> str:
    """A new admin token's text, for whoever may read and write the database itself."""
    with _opened(settings) as store:
        check(store, settings)
        registry = Registry(
            store,
            clock=utc_now,
            ended_kept=settings.ended_kept,
            kept_revisions=settings.kept_revisions,
            announce=lambda revision: None,
        )
        with registry.write("init", "admin token made") as write:
            return tokens.issue(write, name, Role.ADMIN, None)[1]


@contextmanager
def _opened(settings: Settings) -> Iterator[Store]:
    store = open_store(settings)
    try:
        yield store
    finally:
        store.close()


def _make_file(file: Path | None) -> None:
    """Nobody else may read who is registered."""
    if file is None or file.exists():
        return
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise SettingsError(
            f"{file}: cannot be made ({error.strerror}): run as a user who may, or name another "
            "place in PEERGATE_DATABASE_URL"
        ) from error
