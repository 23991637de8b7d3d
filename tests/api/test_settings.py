"""Settings: from the environment, overridden, refused."""

from pathlib import Path

import pytest

from api.errors import SettingsError
from api.settings import DEFAULT_DATABASE, Settings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "LISTEN", "TLS_CERT", "TLS_KEY"):
        monkeypatch.delenv(f"PEERGATE_{name}", raising=False)


def test_nothing_said_is_the_default() -> None:
    settings = Settings.from_environment(database=None, listen=None)
    assert settings == Settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8470)
    assert settings.database_file == Path("/var/lib/peergate-api/registry.db")


def test_an_override_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERGATE_DATABASE_URL", "sqlite:////srv/a.db")
    monkeypatch.setenv("PEERGATE_LISTEN", "[2001:db8::1]:443")
    from_environment = Settings.from_environment()
    assert from_environment.database_file == Path("/srv/a.db")
    assert (from_environment.host, from_environment.port) == ("2001:db8::1", 443)
    overridden = Settings.from_environment(database="/srv/b.db", listen="192.0.2.1:80")
    assert overridden.database_url == "sqlite:////srv/b.db"
    assert (overridden.host, overridden.port) == ("192.0.2.1", 80)


@pytest.mark.parametrize("listen", ["8470", "127.0.0.1", "127.0.0.1:", "a:b", "a:65536"])
def test_a_wrong_place_to_listen(listen: str) -> None:
    with pytest.raises(SettingsError, match="ADDRESS:PORT"):
        Settings.from_environment(listen=listen)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:secret@db/x",
        "postgres://u:secret@db/x",
        "postgresql://u:secret@db",
        "postgresql://u:secret@db/",
        "postgresql://u:secret@db:port/x",
        "postgresql://u:sec#secret@db/x",
        "postgresql://u:sec/secret@db/x",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_a_wrong_database(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(database=url)
    assert DEFAULT_DATABASE in str(
        refused.value
    ) or "as in postgresql://peergate@db.example.net/peergate" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_password_is_shown_to_nobody() -> None:
    url = "postgresql://peergate:sec%2Fret@[2001:db8::5]:5433/registry?sslmode=verify-full"
    settings = Settings.from_environment(database=url)
    assert settings.database_url == url
    assert settings.database_file is None
    assert settings.database == "postgresql://peergate@[2001:db8::5]:5433/registry"


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="both"):
        Settings.from_environment(tls_cert=tmp_path / "cert.pem")
