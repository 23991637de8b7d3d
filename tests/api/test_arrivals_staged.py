"""Under a staged roll-out a revision has come to all when the rest has it too."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from api.settings import Settings
from tests.api.conftest import Service
from tests.api.test_arrivals import ANY, arrivals, say
from tests.api.test_rollout import set_rule


def begin(service: Service) -> Service:
    """A canary and one of the rest, who have everything."""
    service.add_gateway()
    set_rule(service)
    service.add_router("canary-1", stage="canary")
    service.add_router("edge-2")
    all_say(service, service.revision)
    return service


@pytest.fixture
def staged(service: Service) -> Service:
    return begin(service)


def all_say(service: Service, revision: int) -> list[str]:
    """What is told once both have that number."""
    before = len(arrivals(service))
    for name in ("canary-1", "edge-2"):
        say(service, name, revision)
    return [subject for subject, _ in arrivals(service)[before:]]


def confirm(service: Service, revision: int) -> None:
    body = {"revision": revision}
    done = service.admin.post("/v1/rollout/confirm", json=body)
    assert done.status_code == 200, done.text


def test_it_is_told_after_its_release(staged: Service) -> None:
    assert arrivals(staged)[-1][0] == str(staged.revision)
    staged.add_peer(name="one")
    assert all_say(staged, staged.revision) == []
    first = staged.revision
    staged.add_peer(name="two")
    second = staged.revision
    assert all_say(staged, second) == []
    confirm(staged, first)
    # The number of the revision that releases it is what the rest has it with.
    assert all_say(staged, second) == []
    say(staged, "canary-1", staged.revision)
    assert arrivals(staged)[-1][0] == str(first - 1)
    assert all_say(staged, staged.revision) == [str(first)]
    confirm(staged, staged.revision)
    assert all_say(staged, staged.revision) == [str(staged.revision)]
    assert arrivals(staged)[-1][1]["routers"] == 2


def test_what_is_taken_back_or_released_at_the_end_of_it_is_covered(staged: Service) -> None:
    staged.add_peer(name="one")
    assert all_say(staged, staged.revision) == []
    assert staged.admin.post("/v1/rollout/abort").status_code == 200
    assert all_say(staged, staged.revision) == [str(staged.revision)]
    staged.add_peer(name="two")
    assert all_say(staged, staged.revision) == []
    assert staged.admin.delete("/v1/rollout", headers=ANY).status_code == 204
    assert all_say(staged, staged.revision) == [str(staged.revision)]


def test_an_urgent_one_that_went_past_others_is_told_of_with_these(staged: Service) -> None:
    number = staged.add_peer(name="one")
    confirm(staged, staged.revision)
    assert all_say(staged, staged.revision) == [str(staged.revision)]

    def revoke_at_once(number: int) -> None:
        body, query = {"reason": "stolen"}, {"urgent": True}
        path = f"/v1/peers/{number}/revoke"
        assert staged.admin.post(path, json=body, params=query, headers=ANY).is_success

    revoke_at_once(number)
    assert all_say(staged, staged.revision) == [str(staged.revision)]
    second = staged.add_peer(name="two")
    assert all_say(staged, staged.revision) == []
    staged.add_peer(name="three")
    revoke_at_once(second)
    assert all_say(staged, staged.revision) == []
    confirm(staged, staged.revision)
    assert all_say(staged, staged.revision) == [str(staged.revision)]


def test_what_waited_longer_ago_than_is_kept_is_not_told_of_too_early(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    """The routers have not seen its release yet, and the log no longer holds that it waited."""
    service = begin(start(replace(settings, kept_revisions=2)))
    service.add_peer(name="one")
    waited = service.revision
    for name in ("two", "three", "four"):
        confirm(service, service.revision)
        service.add_peer(name=name)
    assert all_say(service, waited) == []
    assert all_say(service, service.revision - 2) == [str(service.revision - 3)]
    assert all_say(service, service.revision) == [str(service.revision - 1)]
