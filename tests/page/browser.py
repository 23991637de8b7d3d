"""Debian's Chromium, by Playwright, and what a person does in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
# For a slow machine; nothing waits for as long as that where it works.
PATIENCE_MS = 30_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """Fails where it is missing: these tests are not skipped."""
    assert CHROMIUM.exists(), f"{CHROMIUM} is missing: run `make setup`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            # Its sandbox is not for root, and containers have little shared memory.
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """One person's window, with a session of its own. `complaints` is what the browser's console
    says: defects of scripts, and all that the page's policy forbids."""

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        touch: bool = False,
    ) -> None:
        self.context: BrowserContext = browser.new_context(
            base_url=url,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            has_touch=touch,
            locale="en-GB",
            timezone_id="UTC",
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.page: Page = self.context.new_page()
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(f"defect: {error}"))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    def _note(self, message: ConsoleMessage) -> None:
        # That a request was refused Chromium says by itself: tests look at what the page says.
        refused = "Failed to load resource" in message.text
        if message.type in ("error", "warning") and not refused:
            self.complaints.append(f"{message.type}: {message.text}")

    def sign_in(self, token: str) -> None:
        self.page.goto("/")
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", name="Gateways", level=1).wait_for()

    def go(self, view: str) -> None:
        self.page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()

    def close(self) -> None:
        self.context.close()
