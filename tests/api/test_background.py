"""What the service does beside answering goes on, whatever happens to it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

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


def test_a_task_that_goes_on_failing_is_told_of_once_and_so_is_its_end(
    start: Callable[[Settings], Service],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "peergate.api")
    calls, broken = 0, True

    def upkeep(*_: object) -> None:
        nonlocal calls
        calls += 1
        if broken:
            raise KeyError("it is broken")

    monkeypatch.setattr(background, "upkeep", upkeep)
    monkeypatch.setattr("api.tasks.PATIENCE", 0.5)
    service = start(replace(settings, upkeep_seconds=0.05))

    def told() -> list[dict[str, Any]]:
        query = "follow=false&after=0&types=task.failing&types=task.recovered"
        lines = service.admin.get(f"/v1/events?{query}").text.splitlines()
        return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]

    assert wait_until(lambda: len(told()) == 1, 20)
    seen = calls
    assert wait_until(lambda: calls > seen + 5, 20)
    (failing,) = told()
    assert (failing["type"], failing["subject"]) == ("task.failing", "upkeep")
    assert failing["content"] == {"error": "KeyError('it is broken')"}
    broken = False
    assert wait_until(lambda: len(told()) > 1, 20)
    seen = calls
    assert wait_until(lambda: calls > seen + 5, 20)
    assert [each["type"] for each in told()] == ["task.failing", "task.recovered"]
    assert caplog.text.count("upkeep: a defect") == 1
    assert wait_until(lambda: caplog.text.count("upkeep: in order again") == 1, 20)


@pytest.mark.parametrize("failures", [1, 3])
def test_what_fails_for_a_moment_is_no_event(
    start: Callable[[Settings], Service],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
) -> None:
    calls = 0

    def upkeep(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls <= failures:
            raise KeyError("once")

    monkeypatch.setattr(background, "upkeep", upkeep)
    service = start(replace(settings, upkeep_seconds=0.05))
    assert wait_until(lambda: calls > failures + 3, 20)
    assert "task." not in service.admin.get("/v1/events?follow=false&after=0").text
