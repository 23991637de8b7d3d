"""Tokens: made once, shown once, and dead when they should be."""

import hashlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest
from anyio.to_thread import run_sync

from api.bootstrap import admin_token, init
from api.database import open_store
from api.errors import SettingsError
from api.settings import Settings
from api.store.schema import metadata
from tests.api.bodies import NOW, text
from tests.api.client import Client
from tests.api.conftest import Service, on_postgresql, on_sqlite


def with_token(service: Service, token: str, scheme: str = "Bearer") -> int:
    headers = {"Authorization": f"{scheme} {token}"}
    return service.nobody.get("/v1/status", headers=headers).status_code


def make(service: Service, **fields: object) -> tuple[int, str]:
    made = service.admin.post("/v1/tokens", json={"name": "t", "role": "viewer"} | fields)
    assert made.status_code == 201, made.text
    return made.json()["id"], made.json()["token"]


def test_one_works_until_it_is_revoked(service: Service) -> None:
    number, token = make(service)
    assert with_token(service, token) == 200
    assert service.admin.delete(f"/v1/tokens/{number}").status_code == 204
    assert with_token(service, token) == 401
    assert service.admin.delete(f"/v1/tokens/{number}").status_code == 404


def test_one_works_until_it_expires(service: Service) -> None:
    _, token = make(service, expires=text(NOW + timedelta(hours=1)))
    assert with_token(service, token) == 200
    service.clock.pass_time(timedelta(hours=1))
    assert with_token(service, token) == 401


@on_sqlite
def test_what_comes_in_while_one_ends_is_not_carried_out(service: Service) -> None:
    """Nor with the token's session. The body is asked for once it is known whose it is."""
    service.add_gateway()

    def put(ends: Callable[[], object], **headers: str) -> httpx.Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b'{"gateways": [],'
            await run_sync(ends)
            yield b'"peers": []}'

        sent = {"Content-Type": "application/json", "If-Match": "*", **headers}
        return service.nobody.put("/v1/policy", content=pieces(), headers=sent)

    def bearer(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    number, token = make(service, role="admin")
    refused = put(lambda: service.admin.delete(f"/v1/tokens/{number}"), **bearer(token))
    assert (refused.status_code, refused.json()["type"]) == (401, "/problems/invalid-token")
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")

    _, token = make(service, role="admin", expires=text(NOW + timedelta(hours=1)))
    refused = put(lambda: service.clock.pass_time(timedelta(hours=1)), **bearer(token))
    assert refused.status_code == 401

    began = service.admin.post("/v1/session")
    own = {"Sec-Fetch-Site": "same-origin", "Peergate-Page": "yes"}
    own |= {"Cookie": began.headers["Set-Cookie"].partition(";")[0]}
    refused = put(lambda: service.nobody.delete("/v1/session", headers=own), **own)
    assert (refused.status_code, refused.json()["type"]) == (401, "/problems/session-ended")

    assert [each["name"] for each in service.admin.get("/v1/gateways").json()["items"]] == ["hub"]


def test_one_that_would_never_work_is_refused(service: Service) -> None:
    body = {"name": "t", "role": "viewer", "expires": text(NOW)}
    refused = service.admin.post("/v1/tokens", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "expires")


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "pg",
        "pg_1_",
        "pg_1_" + "A" * 43,
        "pg_0_" + "A" * 43,
        "pg_999_" + "A" * 43,
        "pg_99999999999999999999_" + "A" * 43,
        "pg_1_" + "A" * 42 + "é",
    ],
)
def test_a_forged_one_is_refused(service: Service, forged: str) -> None:
    headers = [(b"authorization", b"Bearer " + forged.encode())]
    refused = service.nobody.get("/v1/status", headers=headers)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith('Bearer realm="peergate"')


def test_the_secret_of_one_does_not_open_another(service: Service) -> None:
    number, token = make(service)
    other, _ = make(service)
    assert with_token(service, token.replace(f"pg_{number}_", f"pg_{other}_")) == 401
    assert with_token(service, token, scheme="Basic") == 401


def test_no_secret_is_kept_or_listed(service: Service, settings: Settings) -> None:
    _, token = make(service)
    secret = token.split("_", 2)[2]
    assert secret not in service.admin.get("/v1/tokens").text
    store = open_store(settings)
    with store.read() as connection:
        dump = [str(connection.execute(t.select()).all()) for t in metadata.tables.values()]
    store.close()
    assert any(hashlib.sha256(secret.encode()).hexdigest() in rows for rows in dump)
    assert not any(token[-20:] in rows for rows in dump)


def test_the_last_admin_token_stays(service: Service) -> None:
    kept = service.admin.delete("/v1/tokens/1")
    assert (kept.status_code, kept.json()["type"]) == (409, "/problems/last-admin-token")
    make(service, role="admin", expires=text(NOW + timedelta(hours=1)))
    assert service.admin.delete("/v1/tokens/1").status_code == 204


def test_init_makes_one_admin_and_refuses_a_second(empty: Settings) -> None:
    first = init(empty)
    assert first.token is not None
    if empty.database_file is not None:
        assert empty.database_file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SettingsError, match="there is a registry already"):
        init(empty)


@on_postgresql
def test_of_many_who_set_up_at_once_one_is_the_first(empty: Settings) -> None:
    def try_it(_: int) -> bool:
        try:
            return init(empty).token is not None
        except SettingsError:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(try_it, range(4))) == [False, False, False, True]


def test_a_lost_admin_token_is_made_anew_at_the_database(
    service: Service, settings: Settings
) -> None:
    assert with_token(service, admin_token(settings, "rescue")) == 200
    assert [t["name"] for t in service.admin.get("/v1/tokens").json()["items"]][-1] == "rescue"
    with pytest.raises(SettingsError, match="a name is"):
        admin_token(settings, "not a name")


def test_reading_needs_no_token_only_for_health(service: Service) -> None:
    nobody: Client = service.nobody
    assert nobody.get("/healthz").json() == {"status": "ok"}
    assert nobody.get("/readyz").json() == {"status": "ok"}
    assert nobody.get("/v1/status").headers["WWW-Authenticate"] == 'Bearer realm="peergate"'
