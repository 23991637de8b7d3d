"""A browser's session: what its cookie is good for, what it needs beside it, and how it ends."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.cookies import SimpleCookie

import httpx
import pytest

from api.records import Role
from api.registry import sessions
from api.registry.upkeep import upkeep
from tests.api.bodies import gateway, peer
from tests.api.client import Client
from tests.api.conftest import Service, on_sqlite
from tests.api.test_watch import until_waiting

# Far below what a request would wait by itself.
_SOON = 20
OWN = {"Sec-Fetch-Site": "same-origin", "Peergate-Page": "yes"}


class Browser:
    """Holds the cookie, and sends what a browser does by itself."""

    def __init__(self, service: Service, role: Role = Role.ADMIN, **headers: str) -> None:
        self.client: Client = service.nobody
        token = {"Authorization": f"Bearer {service.clients[role].token}"}
        self.began = self.client.post("/v1/session", headers={**token, **headers})
        assert self.began.status_code == 201, self.began.text
        (self.set,) = SimpleCookie(self.began.headers["Set-Cookie"]).values()
        self.cookie = f"{self.set.key}={self.set.value}"

    def ask(
        self, method: str, path: str, body: object = None, **headers: str | None
    ) -> httpx.Response:
        sent = {"Cookie": self.cookie, **OWN, **headers}
        given = {name: value for name, value in sent.items() if value is not None}
        return self.client.request(method, path, json=body, headers=given)


@pytest.fixture
def browser(service: Service) -> Browser:
    return Browser(service)


def test_a_cookie_stands_for_the_token(service: Service, browser: Browser) -> None:
    who = browser.ask("GET", "/v1/session").json()
    assert (who["name"], who["role"]) == ("admin", "admin")
    assert {"read", "decide", "tokens"} <= set(who["may"])
    assert browser.ask("POST", "/v1/gateways", gateway()).status_code == 201
    assert browser.ask("POST", "/v1/peers", peer()).status_code == 201
    (record,) = service.admin.get("/v1/audit?subject=peer/1").json()["items"]
    token = browser.ask("GET", "/v1/tokens").json()["items"][0]
    assert record["actor"] == {"name": "admin", "role": "admin", "token": token["id"]}
    assert record["from"] == "127.0.0.1"
    viewer = Browser(service, Role.VIEWER)
    assert "decide" not in viewer.ask("GET", "/v1/session").json()["may"]
    refused = viewer.ask("POST", "/v1/peers/1/approve", **{"If-Match": "*"})
    assert refused.status_code == 403
    assert "needs the role approver or admin" in refused.json()["detail"]


@on_sqlite
def test_what_the_cookie_is_like(service: Service, browser: Browser) -> None:
    assert (browser.set["httponly"], browser.set["samesite"], browser.set["path"]) == (
        True,
        "strict",
        "/",
    )
    assert (browser.set.key, browser.set["secure"], browser.set["domain"]) == ("peergate", "", "")
    assert browser.began.headers["Cache-Control"] == "no-store"
    assert service.admin.token not in browser.began.text + browser.began.headers["Set-Cookie"]
    # Behind a proxy that ends TLS: the browser says so.
    safe = Browser(service, Origin="https://registry.test")
    assert (safe.set.key, safe.set["secure"]) == ("__Host-peergate", True)
    assert safe.ask("GET", "/v1/session").status_code == 200
    # There another host of the domain can put one of its own beside it, of a name that it may set.
    planted = f"{browser.cookie}; {safe.cookie}"
    assert safe.ask("GET", "https://registry.test/v1/session", Cookie=planted).status_code == 200
    planted = browser.cookie
    for method, path in (("GET", "https://registry.test/v1/session"), ("POST", "/v1/session")):
        https = {"Origin": "https://registry.test"}
        assert safe.ask(method, path, Cookie=planted, **https).status_code == 401


@on_sqlite
def test_no_cache_keeps_what_it_shows(service: Service, browser: Browser) -> None:
    for path in ("/v1/session", "/v1/peers", "/v1/rules", "/v1/peers/1", "/metrics"):
        headers = browser.ask("GET", path).headers
        assert headers["Cache-Control"] == "no-store", path
        assert headers["X-Content-Type-Options"] == "nosniff", path
    # Nobody's secret: asked for again, and there where nothing changed.
    assert service.nobody.get("/").headers["Cache-Control"] == "no-cache"


@on_sqlite
def test_another_sites_page_gets_nothing(service: Service, browser: Browser) -> None:
    made = gateway()
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Peergate-Page": None},
        {"Sec-Fetch-Site": None},
        {"Sec-Fetch-Site": None, "Origin": "null"},
        {"Sec-Fetch-Site": None, "Origin": "http://evil.test"},
        {"Sec-Fetch-Site": None, "Origin": "http://["},
        {"Sec-Fetch-Site": None, "Origin": "http://registry.test:81"},
        {"Sec-Fetch-Site": None, "Origin": "http://registry.test", "Peergate-Page": None},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://registry.test"},
    ):
        refused = browser.ask("POST", "/v1/gateways", made, **headers)
        assert refused.status_code == 403, headers
        assert refused.json()["type"] == "/problems/cross-site"
    for site in ("cross-site", "same-site"):
        assert browser.ask("GET", "/v1/peers", **{"Sec-Fetch-Site": site}).status_code == 403
    assert service.admin.get("/v1/gateways").json()["items"] == []
    # Over plain http, to an address, browsers say no more than this.
    plain = {"Sec-Fetch-Site": None, "Origin": "http://registry.test"}
    assert browser.ask("POST", "/v1/gateways", made, **plain).status_code == 201
    assert browser.ask("GET", "/v1/peers", **{"Sec-Fetch-Site": "none"}).status_code == 200
    # A token needs none of it: no browser sends it by itself.
    assert service.admin.get("/v1/peers", headers={"Sec-Fetch-Site": "x"}).status_code == 200


def test_it_ends_with_its_token(service: Service) -> None:
    browser = Browser(service, Role.APPROVER)
    number = next(
        each["id"]
        for each in service.admin.get("/v1/tokens").json()["items"]
        if each["role"] == Role.APPROVER
    )
    assert browser.ask("GET", "/v1/peers").status_code == 200
    assert service.admin.delete(f"/v1/tokens/{number}").status_code == 204
    ended = browser.ask("GET", "/v1/peers")
    assert (ended.status_code, ended.json()["type"]) == (401, "/problems/session-ended")
    assert browser.ask("POST", "/v1/peers", peer()).status_code == 401


def test_it_ends_by_itself_and_on_demand(service: Service, browser: Browser) -> None:
    other = Browser(service)
    gone = browser.ask("DELETE", "/v1/session")
    assert (gone.status_code, gone.content) == (204, b"")
    assert 'peergate=""' in gone.headers["Set-Cookie"]
    assert "Max-Age=0" in gone.headers["Set-Cookie"]
    assert browser.ask("GET", "/v1/session").status_code == 401
    assert other.ask("GET", "/v1/session").status_code == 200
    service.clock.pass_time(sessions.LASTS - timedelta(seconds=1))
    assert other.ask("GET", "/v1/session").status_code == 200
    service.clock.pass_time(timedelta(seconds=1))
    assert other.ask("GET", "/v1/session").status_code == 401
    assert service.admin.delete("/v1/session").status_code == 404


@on_sqlite
def test_who_waits_with_it_is_let_go(service: Service, browser: Browser) -> None:
    service.add_gateway()
    other = Browser(service)
    waiting = "/v1/allowlist/changes?after=1&wait=60"
    with ThreadPoolExecutor(2) as pool:
        asked, goes_on = (pool.submit(each.ask, "GET", waiting) for each in (browser, other))
        until_waiting(service, 2)
        assert browser.ask("DELETE", "/v1/session").status_code == 204
        assert asked.result(_SOON).json()["revision"] == 1
        until_waiting(service, 1)
        service.add_gateway("b", addresses=["198.51.100.2"])
        assert list(goes_on.result(_SOON).json()["gateways"]) == ["b"]


def test_a_token_that_ends_first_ends_it(service: Service) -> None:
    soon = service.clock.now + timedelta(hours=1)
    body = {"name": "short", "role": "viewer", "expires": soon.isoformat()}
    text = service.admin.post("/v1/tokens", json=body).json()["token"]
    browser = Browser(service)
    began = service.nobody.with_token(text).post("/v1/session")
    assert began.json()["expires"] == "2026-11-23T13:00:00Z"
    cookie = began.headers["Set-Cookie"].partition(";")[0]
    assert browser.ask("GET", "/v1/session", Cookie=cookie).json()["name"] == "short"
    service.clock.pass_time(timedelta(hours=1))
    assert browser.ask("GET", "/v1/session", Cookie=cookie).status_code == 401


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sessions, "MOST", 2)
    return 2


def test_the_oldest_end_and_old_ones_go(service: Service, few: int) -> None:
    viewer = Browser(service, Role.VIEWER)
    browsers = []
    for _ in range(few + 1):
        browsers.append(Browser(service))
        service.clock.pass_time(timedelta(seconds=1))
    codes = [each.ask("GET", "/v1/session").status_code for each in (*browsers, viewer)]
    assert codes == [401, 200, 200, 200]
    service.clock.pass_time(sessions.LASTS)
    registry = service.app.state.registry
    upkeep(registry, timedelta(days=1))
    with registry.read() as read:
        left = read.connection.exec_driver_sql("SELECT count(*) FROM sessions").scalar_one()
    assert left == 0


@on_sqlite
def test_who_may_not_look_has_none(service: Service) -> None:
    refused = service.agent.post("/v1/session")
    assert refused.status_code == 403
    assert "Set-Cookie" not in refused.headers
    assert service.nobody.post("/v1/session").status_code == 401
    nonsense = service.nobody.get("/v1/peers", headers={"Cookie": "peergate=" + "x" * 43})
    assert (nonsense.status_code, nonsense.json()["type"]) == (401, "/problems/session-ended")
