"""Hostile text, the keyboard alone, a phone, the dark."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.page.browser import PATIENCE_MS, Visit
from tests.page.site import Site

Come = Callable[..., Visit]
expect.set_options(timeout=PATIENCE_MS)
VIEWS = ("gateways", "gateway/hub", "strangers", "peers", "queue", "routers", "audit")
HTML = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
# An escape sequence, a line's end, overrides of direction, a blank without width.
UNSEEN = "a\x1b[31mb\r\nc\u202egpj.exe\u2066d\u200be"


def test_hostile_text_is_text(site: Site, visit: Come) -> None:
    long = "x" * 400 + "END"
    site.request(name="html", owner=HTML, purpose=long, sources=["203.0.113.50"])
    site.request(name="rtl", owner="\u05d0\u05d1\u05d2", purpose=HTML, sources=["203.0.113.51"])
    wrong = {"name": f"eth0{UNSEEN}", "attach": "native", "attached": False, "error": HTML + UNSEEN}
    site.tell(interfaces=[wrong], version=HTML[:60], held="y" * 1999)
    page = visit("approver").page
    for view, text in (("peers?name_prefix=html", HTML), ("queue", HTML), ("routers", HTML)):
        page.goto(f"/#/{view}")
        expect(page.get_by_text(text).first).to_be_visible()
        assert page.locator("main img, main script").count() == 0
    assert page.title() == "Routers · peergate"
    odd = page.locator(".odd").all_text_contents()
    assert {"U+001B", "U+000D", "U+000A", "U+202E", "U+2066", "U+200B"} <= set(odd)
    seen = page.locator("main").text_content() or ""
    assert not set(seen) & set("\x1b\r\u202e\u2066\u200b")
    assert "y" * 200 not in seen
    page.get_by_role("button", name="characters").first.click()
    expect(page.locator("main")).to_contain_text("y" * 1999)
    page.goto("/#/peers?name_prefix=html")
    page.locator("#main").get_by_role("link", name="html").click()
    expect(page.get_by_text("xxx").first).to_be_visible()
    assert "END" not in (page.locator("main").text_content() or "")
    page.get_by_role("button", name="all 403 characters").click()
    expect(page.locator("main")).to_contain_text("xEND")
    # It stays unfolded while the page looks again, and so does the focus.
    page.locator("#main").get_by_role("link", name="hub").focus()
    for number in range(2):  # when it asks a second time, it has drawn the first answer
        with page.expect_response(lambda told: "/v1/peers/" in told.url):
            site.request(name=f"other-{number}", sources=[f"203.0.113.{52 + number}"])
    expect(page.locator("main")).to_contain_text("xEND")
    expect(page.locator("#main").get_by_role("link", name="hub")).to_be_focused()
    # In a dialog and its title, too.
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("dialog")).to_contain_text(HTML)
    page.keyboard.press("Escape")
    site.tell()


def test_the_keyboard_alone(site: Site, visit: Come) -> None:
    site.request(name="by-key", sources=["203.0.113.60"])
    page = visit("approver").page
    page.reload()
    page.get_by_role("heading", name="Gateways", level=1).wait_for()
    walk(page, "Queue")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Approval queue")).to_be_focused()
    waiting = page.get_by_role("row").filter(has_text="by-key")
    expect(waiting).to_be_visible()
    key = waiting.get_by_role("button", name="Approve").get_attribute("data-key")
    walk(page, key or "")
    # The focus is seen.
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Approve")).to_be_enabled()
    # Out, to where one was; and in again.
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert page.evaluate("document.activeElement.dataset.key") == key
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Approve")).to_be_enabled()
    walk(page, "Approve")
    page.keyboard.press("Enter")
    expect(waiting).to_have_count(0)
    # The focus is somewhere that the keyboard goes on from.
    expect(page.locator("main")).to_be_focused()


def walk(page: Page, name: str) -> None:
    """Tab, until the focus is on what has that label or key."""
    for _ in range(80):
        page.keyboard.press("Tab")
        here = page.evaluate(
            "[document.activeElement.textContent, document.activeElement.dataset.key]"
        )
        if name in here:
            return
    pytest.fail(f"the keyboard does not come to {name}")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_phone(site: Site, visit: Come, dark: bool) -> None:
    site.request(name=f"phone-{dark}".lower(), owner="W" * 200, sources=["2001:db8::/32"])
    page = visit(width=360, height=740, dark=dark, touch=True).page
    for view in VIEWS:
        page.goto(f"/#/{view}")
        page.locator("main :is(tbody tr, .facts, .empty)").first.wait_for()
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360, (view, wide)
    page.goto("/#/queue")
    page.get_by_role("button", name="Approve").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Approve")).to_be_enabled()
    box = dialog.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    style = "getComputedStyle(document.documentElement)"
    ground, ink = page.evaluate(f"[{style}.backgroundColor, {style}.color]")
    assert (brightness(ground) < brightness(ink)) is dark
    assert abs(brightness(ground) - brightness(ink)) > 180


def brightness(colour: str) -> float:
    red, green, blue = map(float, colour.removeprefix("rgb(").removesuffix(")").split(","))
    return 0.299 * red + 0.587 * green + 0.114 * blue
