"""What the registry service is told from outside: one frozen object, read once."""

import os
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self, TypedDict, Unpack
from urllib.parse import urlsplit

from api.errors import SettingsError
from api.oidc_settings import OidcSettings
from api.reverse import Resolver
from policy.prefixes import Network, parse_trusted

_SQLITE = "sqlite:///"
_POSTGRESQL = "postgresql"
DEFAULT_DATABASE = "sqlite:////var/lib/peergate-api/registry.db"
_DNS = 53
_REMIND_DAYS = (14, 3, 1)
_DEFAULT_KEY = Path("/var/lib/peergate-api/registry.key")
_ELSEWHERE = "postgresql://peergate@db.example.net/peergate"


class Overrides(TypedDict, total=False):
    """What a command line may say; None leaves the environment's word in force."""

    database: str | None
    key_file: Path | None
    listen: str | None
    tls_cert: Path | None
    tls_key: Path | None


@dataclass(frozen=True, slots=True)
class Settings:
    """`database_url` is sqlite:///FILE or postgresql://...; `port` 0 takes a free one."""

    database_url: str = DEFAULT_DATABASE
    host: str = "127.0.0.1"
    port: int = 8470
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[Network, ...] = ()
    # Whether webhooks may go to loopback, link-local and private addresses, and without TLS.
    private_webhooks: bool = False
    # An event tells of a peer so many days before it ends.
    remind_days: tuple[int, ...] = _REMIND_DAYS
    oidc: OidcSettings | None = None
    # Whose which prefix is, by the operator's own word.
    prefixes_file: Path | None = None
    # The operator's own, asked for names of strangers' addresses; nobody is asked without it.
    resolver: Resolver | None = None
    named_key_file: Path | None = None
    max_body: int = 8 * 1024 * 1024
    max_import: int = 1024 * 1024 * 1024
    max_import_peers: int = 2_000_000
    kept_revisions: int = 10_000
    kept_strangers: int = 200_000
    kept_strangers_of_gateway: int = 20_000
    ended_kept: timedelta = timedelta(days=30)
    replay_kept: timedelta = timedelta(hours=24)
    poll_seconds: float = 1.0
    upkeep_seconds: float = 600.0

    def __post_init__(self) -> None:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise SettingsError("TLS needs both a certificate and its key: give both, or neither")

    @classmethod
    def from_environment(cls, **overrides: Unpack[Overrides]) -> Self:
        """PEERGATE_DATABASE_URL, PEERGATE_KEY_FILE, PEERGATE_LISTEN, PEERGATE_TLS_CERT,
        PEERGATE_TLS_KEY, PEERGATE_TRUSTED_PROXIES, PEERGATE_PRIVATE_WEBHOOKS,
        PEERGATE_REMIND_DAYS, PEERGATE_PREFIXES_FILE, PEERGATE_RESOLVER.

        An override wins. `database` may be a URL or a SQLite file's path.
        """
        database = overrides.get("database") or os.environ.get("PEERGATE_DATABASE_URL")
        listen = overrides.get("listen") or os.environ.get("PEERGATE_LISTEN")
        cert = overrides.get("tls_cert") or os.environ.get("PEERGATE_TLS_CERT")
        named = overrides.get("key_file") or os.environ.get("PEERGATE_KEY_FILE")
        key = overrides.get("tls_key") or os.environ.get("PEERGATE_TLS_KEY")
        prefixes = os.environ.get("PEERGATE_PREFIXES_FILE")
        settings = cls(
            database_url=_database_url(database or DEFAULT_DATABASE),
            tls_cert=Path(cert) if cert else None,
            tls_key=Path(key) if key else None,
            trusted_proxies=_proxies(os.environ.get("PEERGATE_TRUSTED_PROXIES", "")),
            private_webhooks=_switch("PEERGATE_PRIVATE_WEBHOOKS"),
            oidc=OidcSettings.from_environment(),
            remind_days=_days(os.environ.get("PEERGATE_REMIND_DAYS")),
            resolver=_resolver(os.environ.get("PEERGATE_RESOLVER", "")),
            prefixes_file=Path(prefixes) if prefixes else None,
            named_key_file=Path(named) if named else None,
        )
        if listen:
            host, port = _listen(listen)
            settings = replace(settings, host=host, port=port)
        return settings

    @property
    def database_file(self) -> Path | None:
        """The SQLite file; None where it is PostgreSQL."""
        if not self.database_url.startswith(_SQLITE):
            return None
        return Path(self.database_url.removeprefix(_SQLITE).partition("?")[0])

    @property
    def key_file(self) -> Path:
        """The registry's key: where it is said to be, else beside the SQLite file."""
        if self.named_key_file is not None:
            return self.named_key_file
        return self.database_file.with_suffix(".key") if self.database_file else _DEFAULT_KEY

    @property
    def database(self) -> str:
        """What people may see of it: the file, or the URL without password and options."""
        if self.database_file is not None:
            return str(self.database_file)
        parts = urlsplit(self.database_url)
        user = f"{parts.username}@" if parts.username else ""
        return f"{parts.scheme}://{user}{parts.netloc.rpartition('@')[2]}{parts.path}"


def _database_url(text: str) -> str:
    if "://" not in text:
        return f"{_SQLITE}{Path(text).absolute()}"
    kind = text.partition("://")[0]
    if kind == _POSTGRESQL:
        _check_postgresql(text)
        return text
    file = text.removeprefix(_SQLITE)
    if file == text:
        # Not the whole: it may hold a password.
        raise SettingsError(
            f"{kind}: the registry is a SQLite file, as in {DEFAULT_DATABASE}, or on PostgreSQL, "
            f"as in {_ELSEWHERE}"
        )
    if file in ("", ":memory:"):
        raise SettingsError(f"{text}: the registry needs a file, as in {DEFAULT_DATABASE}")
    return text


def _check_postgresql(text: str) -> None:
    """What is wrong is not shown: it may be a part of the password."""
    try:
        parts = urlsplit(text)
        whole = parts.port != 0 and len(parts.path) > 1 and not parts.fragment
    except ValueError:
        whole = False
    if not whole:
        raise SettingsError(
            f"{_POSTGRESQL}: the URL needs a database, and a port where it has one is a number, "
            f"as in {_ELSEWHERE}; in a password write / as %2F, # as %23, ? as %3F, @ as %40"
        )


def _proxies(text: str) -> tuple[Network, ...]:
    """Prefixes, between which stand commas or spaces."""
    found = []
    for each in text.replace(",", " ").split():
        try:
            found.append(parse_trusted(each))
        except ValueError as error:
            raise SettingsError(f"PEERGATE_TRUSTED_PROXIES: {each}: {error}") from None
    return tuple(found)


def _resolver(text: str) -> Resolver | None:
    if not text:
        return None
    try:
        parts = urlsplit(f"//{text}")
        port = _DNS if parts.port is None else parts.port
        if port and parts.netloc == text and "@" not in text:
            return Resolver(ip_address(parts.hostname or ""), port)
    except ValueError:
        pass
    raise SettingsError(
        f"PEERGATE_RESOLVER: {text}: must be an address and a port, as in 192.0.2.53:53 or "
        "[2001:db8::53]:53"
    )


def _days(text: str | None) -> tuple[int, ...]:
    if text is None:
        return _REMIND_DAYS
    found = text.replace(",", " ").split()
    if not all(each.isdecimal() and 1 <= int(each) <= 365 for each in found):
        raise SettingsError(f"PEERGATE_REMIND_DAYS: {text}: must be days, as in 14,3,1")
    return tuple(map(int, found))


def _switch(name: str) -> bool:
    text = os.environ.get(name, "no").lower()
    if text not in ("yes", "no"):
        raise SettingsError(f"{name}: {text}: must be yes or no")
    return text == "yes"


def _listen(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"{text}: listen is ADDRESS:PORT, as in 127.0.0.1:8470 or [::1]:8470")
    return host.removeprefix("[").removesuffix("]"), int(port)
