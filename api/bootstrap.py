"""The first steps on a machine: the database, the registry in it, and a token for its admin."""

import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from api import migrations, signing
from api.database import check, open_store
from api.errors import ApiError, SettingsError, UnavailableError
from api.files import make_private
from api.records import Actor, Role
from api.registry import tokens
from api.registry.core import Registry, utc_now
from api.registry.routers import HIGHEST_RISE
from api.settings import Settings
from api.store import heads
from api.store.engine import Store
from policy.document import Name, problems_of


@dataclass(frozen=True, slots=True)
class InitResult:
    """`token` is the first admin token's text, shown this once; None where the database was
    there already and has only been brought to the schema of this version. `key` is the public
    one; None where this machine does not have it."""

    database: str
    registry: str
    key: str | None
    token: str | None


def init(settings: Settings) -> InitResult:
    """Makes database, registry and first admin token; or brings an older database up to date.

    Refused where all is there and up to date: a second call must not make a second admin.
    """
    if settings.database_file is not None and not settings.database_file.exists():
        make_private(settings.database_file, b"", "PEERGATE_DATABASE_URL")
    with _opened(settings) as store, store.set_up() as connection:
        found = migrations.current(connection)
        if found == migrations.newest() and heads.exists(connection):
            raise SettingsError(
                f"{settings.database}: there is a registry already. Its admins make tokens "
                "with POST /v1/tokens; where the last admin token is lost, "
                "`peergate api token` on this machine makes one"
            )
        migrations.upgrade(connection)
        fresh = not heads.exists(connection)
        if fresh:
            # First, so that no registry is there whose key could not be made.
            if not settings.key_file.exists():
                signing.make(settings.key_file)
            heads.create(connection, str(uuid4()), utc_now())
        head = heads.head(connection, lock=True)
        token = None
        with _registry(store, settings).writing(connection, head, _somebody(), "init") as write:
            made = {"registry": head.registry, "schema": migrations.newest()}
            if fresh:
                write.record("registry.make", "registry", None, made)
                token = tokens.issue(write, "admin", Role.ADMIN, None)[1]
            else:
                write.record("registry.upgrade", "registry", made | {"schema": found}, made)
    key = signing.public(settings.key_file) if settings.key_file.exists() else None
    return InitResult(settings.database, head.registry, key, token)


def admin_token(settings: Settings, name: str = "admin") -> str:
    """A new admin token's text, for whoever may read and write the database itself."""
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise SettingsError(f"{name}: {problems_of(error)[0].rule}") from None
    with _opened(settings) as store:
        check(store, settings)
        with _registry(store, settings).write(_somebody(), f"token {name} made") as write:
            return tokens.issue(write, name, Role.ADMIN, None)[1]


def lift(settings: Settings, revision: int) -> int:
    """The head after it was lifted above a revision that routers have. Refused where it is."""
    with _opened(settings) as store:
        check(store, settings)
        cause = f"lifted above revision {revision} by hand"
        with _registry(store, settings).write(_somebody(), cause) as write:
            if revision < write.head.revision:
                raise SettingsError(
                    f"{settings.database}: is at revision {write.head.revision}, above "
                    f"{revision}: nothing has to be done"
                )
            if revision > HIGHEST_RISE:
                raise SettingsError(f"{revision}: no registry was ever there")
            write.rise_to(revision + 1, cause)
        return write.head.revision


@dataclass(frozen=True, slots=True)
class NewKey:
    """Public keys; `before` is None where the new one does not follow on another. `unrecorded`
    says why the audit trail could not be told."""

    key: str
    before: str | None
    unrecorded: str | None


def rotate_key(settings: Settings) -> NewKey:
    """A new key in the old one's place, also where this machine has only the file."""
    before, key = signing.rotate(settings.key_file, utc_now())
    return NewKey(key, before, _record_key(settings, "key.rotate", before, key))


def make_key(settings: Settings) -> NewKey:
    """Another key where the registry's is gone."""
    if settings.key_file.exists():
        raise SettingsError(
            f"{settings.key_file}: the key is there: `peergate api key rotate` makes another one "
            "that routers take. Where somebody else has it, move the file away first"
        )
    key = signing.make(settings.key_file)
    return NewKey(key, None, _record_key(settings, "key.make", None, key))


def _record_key(settings: Settings, action: str, before: str | None, key: str) -> str | None:
    """Why not, if it could not be."""
    then = None if before is None else {"public": before}
    try:
        with _opened(settings) as store:
            check(store, settings)
            with _registry(store, settings).write(_somebody(), action) as write:
                write.record(action, "key", then, {"public": key})
    except (ApiError, OSError) as error:
        return str(error)
    return None


def _registry(store: Store, settings: Settings) -> Registry:
    return Registry(
        store,
        clock=utc_now,
        ended_kept=settings.ended_kept,
        kept_revisions=settings.kept_revisions,
        announce=lambda _: None,
        tell=lambda _: None,
        changed=lambda _: None,
    )


def _somebody() -> Actor:
    """Whoever may write to the database needs no token: as this machine knows them."""
    number = os.getuid()
    try:
        user = pwd.getpwuid(number).pw_name
    except KeyError:
        user = str(number)
    return Actor(f"{user}@{socket.gethostname()}")


@contextmanager
def _opened(settings: Settings) -> Iterator[Store]:
    store = open_store(settings)
    try:
        yield store
    except UnavailableError as error:
        raise SettingsError(f"{settings.database}: {error}") from error
    finally:
        store.close()
