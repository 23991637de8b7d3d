"""Pictures of the page, for the documents: see `picture`."""

import os
from pathlib import Path

from playwright.sync_api import Page


def picture(page: Page, name: str, *, later: bool = False) -> None:
    """What is seen now, with PEERGATE_PICTURES=docs: as `page-NAME.png` there. `later`: after
    PEERGATE_PICTURES_SECONDS, in which a chart has something to show."""
    where = os.environ.get("PEERGATE_PICTURES")
    if where is None:
        return
    if later:
        page.wait_for_timeout(1000 * float(os.environ.get("PEERGATE_PICTURES_SECONDS", "0")))
    # Nothing is pointed at.
    page.mouse.move(0, 0)
    page.screenshot(path=Path(where) / f"page-{name}.png")
