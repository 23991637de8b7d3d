"""What people do at the page: register, approve, reject, revoke, renew; as their roles allow."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from playwright.sync_api import Locator, Page, expect

from lab.watch import wait_until
from tests.page.browser import PATIENCE_MS, Visit
from tests.page.site import SECONDS, Site

Come = Callable[..., Visit]
# What somebody watches come: seen before, and after.
SOON = timedelta(seconds=4)
expect.set_options(timeout=PATIENCE_MS)


def row(page: Page, text: str) -> Locator:
    return page.get_by_role("row").filter(has_text=text)


def test_a_stranger_whose_registration_has_ended(site: Site, visit: Come) -> None:
    """Its peer is named, to be renewed; it may be registered anew all the same."""
    ends = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    number = site.request(name="branch-67", sources=["192.0.2.67"], valid_until=ends)
    site.ask("POST", f"/v1/peers/{number}/approve")
    assert wait_until(
        lambda: site.ask("GET", f"/v1/peers/{number}")["state"] == "expired", SECONDS, 0.2
    )
    page = visit("registrar").page
    page.goto("/#/strangers?source=192.0.2.67")
    expect(row(page, "192.0.2.67")).to_contain_text("branch-67 expired")
    expect(row(page, "192.0.2.67").get_by_role("button", name="Register")).to_be_visible()
    # Signed off, it is named all the same.
    site.ask("POST", "/v1/sign-offs", {"gateway": "hub", "prefix": "192.0.2.67", "reason": "Gone"})
    page.goto("/#/strangers?source=192.0.2.67&signed_off=true")
    expect(row(page, "192.0.2.67")).to_contain_text("branch-67 expired signed off: Gone")
    row(page, "192.0.2.67").get_by_role("link", name="branch-67").click()
    expect(page.locator(".badge").first).to_have_text("expired")


def test_from_a_stranger_to_a_peer_and_back(site: Site, visit: Come) -> None:
    registrar, approver = visit("registrar").page, visit("approver").page
    approver.goto("/#/queue")
    registrar.goto("/#/strangers?source=192.0.2.66")
    knocking = row(registrar, "192.0.2.66")
    expect(knocking).to_contain_text("166")
    # Who may ask may not decide, and the other way round.
    expect(registrar.get_by_role("button", name="Sign off")).to_have_count(0)
    knocking.get_by_role("button", name="Register").click()
    dialog = registrar.get_by_role("dialog", name="Register 192.0.2.66")
    send = dialog.get_by_role("button", name="Ask for it")
    expect(send).to_be_enabled()
    dialog.get_by_label("Owner").fill("Branch networks")
    dialog.get_by_label("Contact").fill("nobody")
    dialog.get_by_label("Purpose").fill("Tunnel of branch 66")
    send.click()
    # Beside its field, and read out with it.
    contact = dialog.get_by_label("Contact")
    expect(contact).to_have_attribute("aria-invalid", "true")
    expect(contact).to_be_focused()
    expect(dialog.get_by_role("alert")).to_contain_text("This was not done")
    contact.fill("netops@example.net")
    dialog.get_by_label("Name").fill("branch-66")
    send.click()
    expect(dialog).to_have_count(0)
    expect(registrar.get_by_text("Somebody has to approve it")).to_be_visible()

    # Nobody reloads: the approver's page is told of it.
    waiting = row(approver, "branch-66")
    # Each button says whom it is about, also to who does not see the row.
    waiting.get_by_role("button", name="Approve branch-66").click()
    dialog = approver.get_by_role("dialog", name="Approve branch-66")
    told = dialog.get_by_role("region", name="What this would do")
    expect(told).to_contain_text("1 peer gains sources")
    expect(told).to_contain_text("Stranger 192.0.2.66")
    dialog.get_by_role("button", name="Approve").click()
    expect(waiting).to_have_count(0)
    (made,) = site.ask("GET", "/v1/peers?name_prefix=branch-66")["items"]
    assert (made["state"], made["decided_by"]) == ("active", "a-approver")

    registrar.goto("/#/peers?name_prefix=branch-66")
    registrar.locator("#main").get_by_role("link", name="branch-66").click()
    expect(registrar.locator(".badge").first).to_have_text("active")
    assert registrar.get_by_role("button", name="Revoke").count() == 0
    approver.goto(f"/#/peer/{made['id']}")
    approver.get_by_role("button", name="Revoke").click()
    dialog = approver.get_by_role("dialog", name="Revoke branch-66")
    expect(dialog.get_by_role("region", name="What this would do")).to_contain_text(
        "1 peer loses sources"
    )
    revoke = dialog.get_by_role("button", name="Revoke")
    revoke.click()
    expect(dialog.get_by_label("Reason")).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Reason").fill("The branch was closed")
    revoke.click()
    expect(approver.locator(".badge").first).to_have_text("revoked")
    # And so is the registrar's, which shows the peer.
    expect(registrar.locator(".badge").first).to_have_text("revoked")
    expect(registrar.get_by_text("The branch was closed")).to_be_visible()


def test_rejected_proposed_and_granted(site: Site, visit: Come) -> None:
    approver = visit("approver").page
    site.request(name="turned-down", sources=["203.0.113.20"])
    kept = site.request(name="kept", sources=["203.0.113.21"])
    site.ask("POST", f"/v1/peers/{kept}/approve")
    site.ask("POST", f"/v1/peers/{kept}/propose", {"purpose": "moved", "reason": "in June"})
    approver.goto("/#/queue")
    row(approver, "turned-down").get_by_role("button", name="Reject").click()
    dialog = approver.get_by_role("dialog", name="Reject turned-down")
    dialog.get_by_label("Reason").fill("Nobody knows them")
    dialog.get_by_role("button", name="Reject").click()
    expect(row(approver, "turned-down")).to_have_count(0)
    row(approver, "kept").get_by_role("button", name="Grant").click()
    dialog = approver.get_by_role("dialog", name="Grant the change of kept")
    expect(dialog).to_contain_text("in June")
    dialog.get_by_role("button", name="Grant").click()
    expect(row(approver, "kept")).to_have_count(0)
    assert site.ask("GET", f"/v1/peers/{kept}")["purpose"] == "moved"
    (rejected,) = site.ask("GET", "/v1/peers?name_prefix=turned-down")["items"]
    assert (rejected["state"], rejected["reason"]) == ("rejected", "Nobody knows them")
    approver.goto(f"/#/peer/{kept}")
    approver.get_by_role("button", name="Renew").click()
    dialog = approver.get_by_role("dialog", name="Renew kept")
    dialog.get_by_label("Valid until").fill("2031-01-01T12:00")
    dialog.get_by_role("button", name="Renew").click()
    expect(approver.get_by_text("2031-01-01 12:00:00 UTC")).to_be_visible()


def test_a_cut_over_counted_down_and_taken_back(site: Site, visit: Come) -> None:
    approver, viewer = visit("approver").page, visit("viewer").page
    approver.goto("/#/strangers?source=192.0.2.10")
    row(approver, "192.0.2.10").get_by_role("button", name="Sign off").click()
    dialog = approver.get_by_role("dialog", name="Sign off 192.0.2.10")
    dialog.get_by_label("Reason").fill("A scanner that we know")
    dialog.get_by_role("button", name="Sign off").click()
    expect(approver.get_by_text("No stranger like this")).to_be_visible()
    made = {each["prefix"]: each["reason"] for each in site.ask("GET", "/v1/sign-offs")["items"]}
    assert made["192.0.2.10"] == "A scanner that we know"
    viewer.goto("/#/gateway/hub")
    expect(viewer.locator(".badge").first).to_have_text("monitors")
    at = datetime.now(UTC) + timedelta(hours=1)
    plan = {"at": at.isoformat(), "override": "They were told in June"}
    site.ask("PUT", "/v1/gateways/hub/cutover", plan)
    # Both pages are told; the second one's list too.
    counting = viewer.get_by_role("timer")
    expect(counting).to_contain_text("59 min")
    seen = counting.text_content() or ""
    expect(counting).not_to_have_text(seen)
    expect(viewer.get_by_text("They were told in June")).to_be_visible()
    assert viewer.get_by_role("button", name="Cancel the cut-over").count() == 0
    approver.goto("/#/gateway/hub")
    approver.get_by_role("button", name="Cancel the cut-over").click()
    dialog = approver.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("Not this week")
    dialog.get_by_role("button", name="Cancel the cut-over").click()
    for page in (approver, viewer):
        expect(page.get_by_text("Not this week")).to_be_visible()
        expect(page.get_by_role("timer")).to_have_count(0)
    assert site.ask("GET", "/v1/gateways/hub")["mode"] == "monitor"
    # How many may be dropped is of no interest any more.
    assert approver.get_by_text("sources that passed before").count() == 0
    soon = {"at": (datetime.now(UTC) + SOON).isoformat(), "most_dropped_sources": 0}
    site.ask("PUT", "/v1/gateways/hub/cutover", plan | soon)
    expect(viewer.locator(".badge").first).to_have_text("enforces")
    expect(viewer.get_by_text("0 sources that passed before; however many")).to_be_visible()
    site.ask("POST", "/v1/gateways/hub/cutover/return", {"reason": "seen"})
    _a_window_set_by_hand(site, approver, viewer)


def _a_window_set_by_hand(site: Site, *pages: Page) -> None:
    """What the registry says of the gateway stays the same when it begins and ends."""
    pages[0].goto("/#/gateways")

    def enforce(begin: timedelta | None, end: timedelta | None) -> None:
        now = datetime.now(UTC)
        start, until = (None if each is None else (now + each).isoformat() for each in (begin, end))
        window = {"mode": "enforce", "enforce_from": start, "enforce_until": until}
        site.ask("PATCH", "/v1/gateways/hub", window)

    def drawn(badge: str, text: str) -> None:
        for page in pages:
            expect(page.locator(".badge").first).to_have_text(badge)
            expect(page.get_by_text(text)).to_be_visible()

    hour = timedelta(hours=1)
    enforce(hour, 2 * hour)
    drawn("monitors", "enforces in 59 min")
    enforce(SOON, hour)
    drawn("enforces", "monitors again in 59 min")
    enforce(None, SOON)
    drawn("enforces", "monitors again in")
    for page in pages:
        expect(page.locator(".badge").first).to_have_text("monitors")
    window = {"mode": "monitor", "enforce_from": None, "enforce_until": None}
    site.ask("PATCH", "/v1/gateways/hub", window)


def test_what_was_changed_meanwhile_is_not_decided(site: Site, visit: Come) -> None:
    approver = visit("approver").page
    number = site.request(name="moving", sources=["203.0.113.30"])
    approver.goto(f"/#/peer/{number}")
    approver.get_by_role("button", name="Approve").click()
    dialog = approver.get_by_role("dialog", name="Approve moving")
    send = dialog.get_by_role("button", name="Approve")
    expect(send).to_be_enabled()
    site.ask("PATCH", f"/v1/peers/{number}", {"sources": ["203.0.113.0/24"]})
    send.click()
    expect(dialog.get_by_role("alert")).to_contain_text("Somebody changed this meanwhile")
    assert site.ask("GET", f"/v1/peers/{number}")["state"] == "pending"


def test_a_role_sees_no_more_than_it_may(site: Site, visit: Come) -> None:
    site.request(name="waits", sources=["203.0.113.40"])
    viewer = visit("viewer").page
    for view, text in (("queue", "waits"), ("strangers", "192.0.2.")):
        viewer.goto(f"/#/{view}")
        expect(row(viewer, text).first).to_be_visible()
        assert viewer.get_by_role("table").get_by_role("button").count() == 0
    navigation = viewer.get_by_role("navigation", name="Views")
    expect(navigation.get_by_role("link", name="Queue")).to_be_visible()
    assert navigation.get_by_role("link", name="Audit").count() == 0
    viewer.goto("/#/audit")
    refused = viewer.get_by_role("alert")
    expect(refused).to_contain_text("Your role does not allow this")
    expect(refused).to_contain_text("needs the role admin or auditor")
    viewer.goto("/#/peer/4000")
    expect(viewer.get_by_role("alert")).to_contain_text("there is no peer 4000")
    auditor = visit("auditor").page
    auditor.goto("/#/audit?action=token.make")
    expect(row(auditor, "token.make")).to_have_count(6)


def test_lists_come_a_page_at_a_time(site: Site, visit: Come) -> None:
    page = visit("viewer").page
    page.goto("/#/strangers?covered=true&signed_off=true")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(50)
    source = rows.first.get_by_role("rowheader")
    first = source.text_content()
    following, previous = (page.get_by_role("button", name=n) for n in ("Next", "Previous"))
    expect(previous).to_be_disabled()
    following.click()
    expect(page.get_by_text("Page 2")).to_be_visible()
    following.click()
    expect(rows).to_have_count(20)
    expect(following).to_be_disabled()
    # Twice before the first has an answer.
    previous.evaluate("button => { button.click(); button.click(); }")
    expect(page.get_by_text("Page 1")).to_be_visible()
    expect(source).to_have_text(first or "")
    page.get_by_label("Source").fill("192.0.2.120")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(1)
    assert page.url.endswith("source=192.0.2.120&sort=-minutes&covered=true&signed_off=true")
    page.get_by_label("Source").fill("nonsense")
    # What is typed is not asked for before it is sent, also where the list looks again by itself.
    with page.expect_response(lambda told: "/v1/strangers?" in told.url) as looked:
        site.request(name="meanwhile", sources=["203.0.113.70"])
    assert "source=192.0.2.120" in looked.value.url
    expect(rows).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("must be an IPv4 or IPv6 address or prefix")
