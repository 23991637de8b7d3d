"""Of each end of a peer is told in time, once for each threshold, whichever process looks."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from api.errors import SettingsError
from api.registry import reminders
from api.registry.upkeep import upkeep
from api.settings import Settings
from tests.api.bodies import NOW, text
from tests.api.conftest import Service
from tests.api.receiver import receiving
from tests.api.streams import parsed

DAY = timedelta(days=1)
Told = Callable[[], list[tuple[str, str | None, int]]]


@pytest.fixture
def service(
    start: Callable[[Settings], Service], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Service:
    """One that looks at its start, and then never."""
    monkeypatch.setattr("api.background._ATTENTION", 3600)
    service = start(replace(settings, private_webhooks=True))
    service.add_gateway()
    return service


@pytest.fixture
def told(service: Service) -> Told:
    """What two processes that look at once tell of."""
    place = 0

    def told() -> list[tuple[str, str | None, int]]:
        nonlocal place
        registry = service.app.state.registry
        with ThreadPoolExecutor(2) as pool:
            looks = [pool.submit(reminders.remind, registry, (14, 3, 1)) for _ in range(2)]
            for look in looks:
                look.result(20)
        query = f"follow=false&after={place}&types=peer.expiring&types=peer.expired"
        found = list(parsed(service.admin.get(f"/v1/events?{query}").text.splitlines()))
        place = max((each["id"] for each in found), default=place)
        return [(each["type"], each["subject"], each["content"]["days"]) for each in found]

    return told


def ends(days: float) -> str:
    return text(NOW + DAY * days)


def test_each_threshold_once(service: Service, told: Told) -> None:
    service.add_peer(valid_until=ends(20))
    service.add_peer(name="without-end")
    service.request_peer(name="pending", valid_until=ends(2))
    seen = []
    for _ in range(25):
        seen += [(what[0], what[2], (service.clock.now - NOW) // DAY) for what in told()]
        service.clock.pass_time(DAY)
    assert seen == [
        ("peer.expiring", 14, 6),
        ("peer.expiring", 3, 17),
        ("peer.expiring", 1, 19),
        ("peer.expired", 0, 20),
    ]


def test_one_that_is_past_several_is_told_of_once(service: Service, told: Told) -> None:
    service.add_peer(valid_until=ends(2))
    assert told() == [("peer.expiring", "1", 3)]
    assert told() == []
    service.clock.pass_time(DAY * 5)
    assert told() == [("peer.expired", "1", 0)]
    assert told() == []


def test_after_a_renewal(service: Service, told: Told) -> None:
    service.add_peer(valid_until=ends(10))
    assert told() == [("peer.expiring", "1", 14)]
    service.act(1, "renew", {"valid_until": ends(60)})
    assert told() == []
    # As before: of that end was told already.
    service.act(1, "renew", {"valid_until": ends(10)})
    assert told() == []
    service.act(1, "renew", {"valid_until": ends(60)})
    service.clock.pass_time(DAY * 46)
    assert told() == [("peer.expiring", "1", 14)]
    service.clock.pass_time(DAY * 15)
    assert told() == [("peer.expired", "1", 0)]
    service.act(1, "renew", {"valid_until": ends(63)})
    assert told() == [("peer.expiring", "1", 3)]


def test_one_that_was_revoked_is_left_alone(service: Service, told: Told) -> None:
    service.add_peer(valid_until=ends(10))
    service.act(1, "revoke", {"reason": "over"})
    service.clock.pass_time(DAY * 11)
    assert told() == []


def test_very_many_are_one_event(
    service: Service, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reminders, "_BATCH", 150)
    for number in range(160):
        service.add_peer(name=f"p-{number}", valid_until=ends(10))
    found = service.admin.get("/v1/events?follow=false&types=peer.expiring").text
    assert found.count("event:") == 0
    for _ in range(2):
        reminders.remind(service.app.state.registry, (14, 3, 1))
    lines = service.admin.get("/v1/events?follow=false&types=peer.expiring").text.splitlines()
    assert [each["count"] for each in parsed(lines)] == [150] + [1] * 10


def test_no_revision_is_made_and_what_is_long_over_is_forgotten(
    service: Service, told: Told
) -> None:
    service.add_peer(valid_until=ends(10))
    before = service.revision
    assert len(told()) == 1
    assert service.revision == before
    service.clock.pass_time(DAY * 41)
    registry = service.app.state.registry
    upkeep(registry, DAY)
    assert told() == []


def test_a_webhook_is_told_by_itself(service: Service) -> None:
    with receiving() as receiver:
        hook = {"name": "pager", "url": receiver.url, "types": ["peer.expiring"]}
        assert service.admin.post("/v1/webhooks", json=hook).status_code == 201
        service.add_peer(valid_until=ends(10))
        reminders.remind(service.app.state.registry, (14, 3, 1))
        receiver.until(lambda: len(receiver.taken) == 1)
        told = receiver.taken[0]["content"]
    assert (told["name"], told["contact"], told["days"]) == ("branch-7", "netops@example.net", 14)
    assert told["valid_until"] == ends(10)


def test_the_days_are_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERGATE_REMIND_DAYS", "30, 7")
    assert Settings.from_environment().remind_days == (30, 7)
    monkeypatch.setenv("PEERGATE_REMIND_DAYS", "")
    assert Settings.from_environment().remind_days == ()
    monkeypatch.setenv("PEERGATE_REMIND_DAYS", "soon")
    with pytest.raises(SettingsError, match="must be days, as in 14,3,1"):
        Settings.from_environment()
