"""What the service does beside answering goes on, whatever happens to it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from api import background
from api.registry.core import Registry
from api.settings import Settings
from lab.watch import wait_until
from tests.api.conftest import Service


@pytest.mark.parametrize("what", ["release_due", "upkeep"])
def test_a_defect_is_logged_and_ends_no_background_work(
    start: Callable[[Settings], Service],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    what: str,
) -> None:
    right = getattr(background, what)
    calls = 0

    def broken_once(registry: Registry, *rest: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyError("once")
        right(registry, *rest)

    monkeypatch.setattr(background, what, broken_once)
    service = start(replace(settings, upkeep_seconds=0.2))
    assert wait_until(lambda: calls >= 3, 20)
    assert "KeyError: 'once'" in caplog.text
    assert service.admin.get("/v1/status").status_code == 200
