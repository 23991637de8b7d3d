"""One browser and one registry for all tests of a module: each test takes things of its own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.page.browser import Visit, chromium
from tests.page.site import Site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    try:
        made.start()
        made.fill()
        yield made
    finally:
        made.stop()


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Callable[..., Visit]]:
    """Somebody of a role, signed in. At the end nobody's browser has complained."""
    visits: list[Visit] = []

    def come(role: str = "admin", **window: Any) -> Visit:  # noqa: ANN401  # as Visit has them
        made = Visit(browser, site.url, **window)
        visits.append(made)
        made.sign_in(site.tokens[role])
        return made

    yield come
    for each in visits:
        each.close()
    host = site.url.removeprefix("http://")
    assert [each.complaints for each in visits if each.complaints] == []
    assert {name for each in visits for name in each.hosts} <= {host}
