"""To the page through an identity provider, a real one on loopback: and all that may go wrong."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from api.errors import SettingsError
from api.oidc_settings import OidcSettings, SignInSettings
from api.records import Role
from api.registry import sessions
from api.settings import Settings
from tests.api.bodies import gateway
from tests.api.conftest import Service, on_sqlite
from tests.api.issuer import AUDIENCE, Issuer, issuing

ROLES = (("admins", Role.ADMIN), ("viewers", Role.VIEWER), ("scrapers", Role.METRICS))
URL = "http://127.0.0.1:8470"


@dataclass
class Browser:
    """Goes where it is sent, and keeps cookies."""

    service: Service
    cookies: dict[str, str]
    last: httpx.Response | None = None

    def get(self, path: str) -> str:
        """Where that sends it to."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self.last = self.service.nobody.get(path, headers={"Cookie": cookie})
        for header in self.last.headers.get_list("Set-Cookie"):
            for morsel in SimpleCookie(header).values():
                self.cookies.pop(morsel.key, None)
                if morsel["max-age"] != "0":
                    self.cookies[morsel.key] = morsel.value
        return str(self.last.headers.get("Location", ""))

    def ask_provider(self) -> str:
        """From the page to the provider, and what that sends it back with."""
        where = httpx.get(self.get("/sign-in"), follow_redirects=False).headers["Location"]
        assert where.startswith(f"{URL}/sign-in/done?")
        return str(where.removeprefix(URL))

    @property
    def is_in(self) -> bool:
        self.get("/v1/session")
        assert self.last is not None
        return self.last.status_code == 200


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as issuer:
        issuer.add("a", "ES256")
        yield issuer


@pytest.fixture
def begin(
    start: Callable[[Settings], Service], settings: Settings, issuer: Issuer
) -> Callable[..., Browser]:
    def begin(**sign_in: str) -> Browser:
        wanted = SignInSettings(**{"client_id": "peergate-page", "url": URL} | sign_in)
        oidc = OidcSettings(issuer.url, AUDIENCE, ROLES, sign_in=wanted)
        return Browser(start(replace(settings, oidc=oidc)), {})

    return begin


def test_there_and_back(begin: Callable[..., Browser], issuer: Issuer) -> None:
    browser = begin()
    issuer.person = {"groups": ["admins"], "preferred_username": "alice", "sub": "5f2c"}
    assert browser.get("/sign-in/offer") == ""
    assert browser.last is not None
    assert browser.last.json() == {"issuer": issuer.url}
    back = browser.ask_provider()
    (kept,) = browser.cookies
    assert kept == "peergate-sign-in"
    assert browser.get(back) == "/"
    # What it needed on the way is gone, and no address has a secret in it.
    assert list(browser.cookies) == ["peergate"]
    assert browser.last.headers["Cache-Control"] == "no-store"
    assert browser.last.headers["Referrer-Policy"] == "no-referrer"
    assert "samesite=strict" in browser.last.headers["Set-Cookie"].lower()
    assert browser.is_in
    who = browser.last.json()
    assert (who["name"], who["role"]) == (f"alice ({issuer.url}#5f2c)", "admin")
    own = {"Sec-Fetch-Site": "same-origin", "Peergate-Page": "yes"}
    headers = own | {"Cookie": f"peergate={browser.cookies['peergate']}"}
    made = browser.service.nobody.post("/v1/gateways", json=gateway(), headers=headers)
    assert made.status_code == 201
    (record,) = browser.service.admin.get("/v1/audit?subject=gateway/hub").json()["items"]
    assert record["actor"] == {"name": who["name"], "role": "admin", "token": None}
    # The provider is asked again after a while: whom it lets in may change.
    browser.service.clock.pass_time(sessions.VOUCHED_LASTS - timedelta(seconds=1))
    assert browser.is_in
    # A session makes no longer one of itself.
    another = browser.service.nobody.post("/v1/session", headers=headers)
    assert another.json()["expires"] == who["expires"]
    browser.service.clock.pass_time(timedelta(seconds=1))
    assert not browser.is_in


@on_sqlite
def test_who_has_no_role_or_may_not_look(begin: Callable[..., Browser], issuer: Issuer) -> None:
    browser = begin()
    for groups in (["staff"], ["scrapers"]):
        issuer.person = {"groups": groups}
        assert browser.get(browser.ask_provider()) == "/#/refused/role"
        assert browser.cookies == {}


@on_sqlite
def test_an_answer_is_good_once_and_for_its_browser(
    begin: Callable[..., Browser], issuer: Issuer
) -> None:
    browser = begin()
    other = Browser(browser.service, {})
    back = browser.ask_provider()
    theirs = other.ask_provider()
    # Somebody else's code, and their whole answer.
    ours = parse_qs(urlsplit(back).query)["state"][0]
    code = parse_qs(urlsplit(theirs).query)["code"][0]
    mixed = f"/sign-in/done?code={code}&state={ours}"
    other_state = back.replace("&state=", "&state=x")
    denied = "/sign-in/done?error=access_denied"
    for wrong in (theirs, mixed, other_state, "/sign-in/done", denied):
        kept = dict(browser.cookies)
        assert browser.get(wrong) == "/#/refused/again", wrong
        browser.cookies = kept
    assert browser.get(browser.ask_provider()) == "/"
    again = browser.ask_provider()
    kept = dict(browser.cookies)
    assert browser.get(again) == "/"
    browser.cookies = kept
    assert browser.get(again) == "/#/refused/again"
    # One with another nonce, or for another client.
    for claims in ({"nonce": "x"}, {"nonce": None}, {"aud": "another"}, {"iss": "http://x.test"}):
        issuer.person = claims
        assert browser.get(browser.ask_provider()) == "/#/refused/again", claims


@on_sqlite
def test_a_client_with_a_secret(begin: Callable[..., Browser], issuer: Issuer) -> None:
    issuer.secret = "s3cret"
    browser = begin(client_secret="s3cret", url=URL)
    assert browser.get(browser.ask_provider()) == "/"
    issuer.secret = "another"
    assert browser.get(browser.ask_provider()) == "/#/refused/again"


@on_sqlite
def test_cookies_over_https(begin: Callable[..., Browser], issuer: Issuer) -> None:
    browser = begin(url="https://registry.test")
    asked = browser.get("/sign-in")
    assert browser.last is not None
    assert "Secure" in browser.last.headers["Set-Cookie"]
    back = httpx.get(asked, follow_redirects=False).headers["Location"]
    assert browser.get(back.removeprefix("https://registry.test")) == "/"
    assert list(browser.cookies) == ["__Host-peergate"]


@on_sqlite
def test_the_provider_is_away(begin: Callable[..., Browser], issuer: Issuer) -> None:
    browser = begin()
    issuer.away = True
    assert browser.get("/sign-in") == "/#/refused/away"


@on_sqlite
def test_nobody_offers_it(service: Service) -> None:
    browser = Browser(service, {})
    browser.get("/sign-in/offer")
    assert browser.last is not None
    assert browser.last.json() == {"issuer": None}
    assert browser.get("/sign-in") == "/#/refused/none"
    assert browser.get("/sign-in/done?code=x&state=x") == "/#/refused/none"


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERGATE_OIDC_ISSUER", "https://id.example.net")
    monkeypatch.setenv("PEERGATE_OIDC_AUDIENCE", "peergate")
    monkeypatch.setenv("PEERGATE_OIDC_ROLES", "a=admin")
    monkeypatch.setenv("PEERGATE_OIDC_CLIENT_ID", "page")
    with pytest.raises(SettingsError, match="PEERGATE_PAGE_URL is missing"):
        OidcSettings.from_environment()
    for url in ("http://registry.example.net", "https://registry.example.net/page", "registry"):
        monkeypatch.setenv("PEERGATE_PAGE_URL", url)
        with pytest.raises(SettingsError, match="PEERGATE_PAGE_URL"):
            OidcSettings.from_environment()
    monkeypatch.setenv("PEERGATE_PAGE_URL", "https://registry.example.net/")
    found = OidcSettings.from_environment()
    assert found is not None
    assert found.sign_in == SignInSettings("page", "https://registry.example.net")
    monkeypatch.setenv("PEERGATE_OIDC_CLIENT_SECRET_FILE", "/nowhere/secret")
    with pytest.raises(SettingsError, match="/nowhere/secret: cannot be read"):
        OidcSettings.from_environment()
