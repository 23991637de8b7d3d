"""Signing in and out, what a browser keeps, and what becomes of a page whose session ends."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.api.issuer import issuing
from tests.page.browser import PATIENCE_MS, Visit
from tests.page.site import Site
from tests.ports import free_port

Come = Callable[..., Visit]
expect.set_options(timeout=PATIENCE_MS)


def test_in_and_out(site: Site, browser: Browser) -> None:
    visit = Visit(browser, site.url)
    page = visit.page
    page.goto("/#/peers")
    token = page.get_by_label("Token")
    expect(token).to_be_focused()
    assert token.get_attribute("type") == "password"
    token.fill("pg_1_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("unknown, revoked or expired")
    expect(token).to_have_value("")
    token.fill(site.tokens["agent"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Your role does not allow this")
    token.fill(site.tokens["viewer"])
    page.keyboard.press("Enter")
    # Where one wanted to go.
    expect(page.get_by_role("heading", name="Peers", level=1)).to_be_focused()
    expect(page.get_by_text("a-viewer")).to_be_visible()
    expect(page.locator(".live")).to_have_text("Live")
    (cookie,) = visit.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["name"]) == (True, "Strict", "peergate")
    kept = page.evaluate(
        "[document.cookie, localStorage.length, sessionStorage.length, document.body.innerHTML]"
    )
    assert kept[:3] == ["", 0, 0]
    assert site.tokens["viewer"] not in kept[3] + page.url
    page.reload()
    expect(page.get_by_role("heading", name="Peers", level=1)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    assert visit.context.cookies() == []
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()
    assert visit.complaints == []
    visit.close()


def test_through_an_identity_provider(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    with issuing() as issuer:
        issuer.add("a", "ES256")
        site = Site(
            tmp_path,
            port,
            PEERGATE_OIDC_ISSUER=issuer.url,
            PEERGATE_OIDC_AUDIENCE="peergate",
            PEERGATE_OIDC_ROLES="leads=approver",
            PEERGATE_OIDC_CLIENT_ID="peergate-page",
            PEERGATE_PAGE_URL=f"http://127.0.0.1:{port}",
        )
        try:
            site.start()
            visit = Visit(browser, site.url)
            page = visit.page
            page.goto("/")
            way = page.get_by_role("link", name=f"Sign in through {issuer.url[7:]}")
            issuer.person = {"groups": ["staff"]}
            way.click()
            expect(page.get_by_text("stands for a role here")).to_be_visible()
            issuer.person = {"groups": ["leads"]}
            way.click()
            expect(page.get_by_role("heading", name="Gateways", level=1)).to_be_visible()
            expect(page.locator(".who")).to_contain_text("alice")
            expect(page.locator(".live")).to_have_text("Live")
            assert page.url in (f"{site.url}/", f"{site.url}/#/")
            page.get_by_role("button", name="Sign out").click()
            expect(page.get_by_text("You are signed out.")).to_be_visible()
            assert visit.complaints == []
            visit.close()
        finally:
            site.stop()


def test_a_revoked_token_ends_it_by_itself(site: Site, browser: Browser) -> None:
    made = site.ask("POST", "/v1/tokens", {"name": "short", "role": "viewer"})
    visit = Visit(browser, site.url)
    visit.sign_in(made["token"])
    expect(visit.page.locator(".live")).to_have_text("Live")
    site.ask("DELETE", f"/v1/tokens/{made['id']}")
    expect(visit.page.get_by_text("Your session has ended")).to_be_visible()
    expect(visit.page.get_by_label("Token")).to_be_visible()
    assert visit.complaints == []
    visit.close()


def test_a_registry_that_is_away_for_a_while(site: Site, browser: Browser) -> None:
    visit = Visit(browser, site.url)
    visit.sign_in(site.tokens["viewer"])
    live = visit.page.locator(".live")
    expect(live).to_have_text("Live")
    site.stop()
    expect(live).to_have_text("Connecting again…")
    visit.go("Routers")
    expect(visit.page.get_by_role("alert")).to_contain_text("The registry does not answer")
    site.start()
    expect(live).to_have_text("Live")
    # What was missed is looked up, and the session goes on.
    expect(visit.page.get_by_role("row").filter(has_text="edge-1")).to_be_visible()
    visit.close()
