"""Tokens that do not work: not too many from one origin, and nobody else is shut out for them."""

from dataclasses import dataclass
from ipaddress import ip_address
from itertools import count

import pytest

from api.errors import ThrottledError
from api.records import Origin, Role
from api.throttle import EVERY, FAILURES, REMEMBERED, Throttle
from tests.api.conftest import Service

NUMBERS = count()


@dataclass
class Seconds:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def origin(address: str) -> Origin:
    return Origin(ip_address(address), "r", proxy=False)


def fail(throttle: Throttle, at: Origin, times: int = FAILURES) -> None:
    for _ in range(times):
        token = f"forged-{next(NUMBERS)}"
        assert throttle.admits(at, token)
        throttle.failed(at, token)


def refused(throttle: Throttle, at: Origin, token: str = "forged") -> int:
    """For how many seconds; none is 0."""
    try:
        assert throttle.admits(at, token)
    except ThrottledError as error:
        return error.seconds
    return 0


def test_an_origin_may_fail_so_often_and_no_more() -> None:
    clock = Seconds()
    throttle = Throttle(clock)
    here, there = origin("203.0.113.7"), origin("203.0.113.8")
    fail(throttle, here)
    assert refused(throttle, here) == EVERY
    assert refused(throttle, there) == 0
    clock.now += EVERY - 1
    assert refused(throttle, here) == 1
    clock.now += 1
    fail(throttle, here, 1)
    assert refused(throttle, here) == EVERY
    # All is forgotten in the end, and nothing is saved up for later.
    clock.now += 100 * FAILURES * EVERY
    fail(throttle, here)
    assert refused(throttle, here) == EVERY


def test_the_last_free_failure_is_told_apart() -> None:
    throttle = Throttle(Seconds())
    here = origin("203.0.113.7")
    told = [throttle.failed(here, "forged") for _ in range(FAILURES)]
    assert told == [False] * (FAILURES - 1) + [True]


def test_a_whole_ipv6_64_is_one_origin() -> None:
    throttle = Throttle(Seconds())
    for number in range(FAILURES):
        throttle.failed(origin(f"2001:db8:7::{number:x}"), f"forged-{number}")
    assert refused(throttle, origin("2001:db8:7::ffff:1:1:1")) > 0
    assert refused(throttle, origin("2001:db8:7:1::1")) == 0
    assert refused(throttle, origin("::")) == 0


def test_a_token_that_has_worked_is_not_shut_out_by_others() -> None:
    clock = Seconds()
    throttle = Throttle(clock)
    shared = origin("203.0.113.7")
    throttle.worked("good")
    fail(throttle, shared)
    assert refused(throttle, shared) > 0
    assert refused(throttle, shared, "good") == 0
    # It does not work any more: from then on it is as good as any other.
    throttle.failed(shared, "good")
    assert not throttle.admits(shared, "good")


def test_what_it_knows_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.throttle._ORIGINS", 3)
    monkeypatch.setattr("api.throttle._TOKENS", 3)
    throttle = Throttle(Seconds())
    for number in range(1, 6):
        fail(throttle, origin(f"203.0.113.{number}"))
        throttle.worked(f"good-{number}")
    throttle.worked("good-3")
    throttle.worked("good-6")
    known = [refused(throttle, origin(f"203.0.113.{n}")) > 0 for n in range(1, 6)]
    assert known == [False, False, True, True, True]
    at = origin("203.0.113.5")
    spared = [refused(throttle, at, f"good-{n}") == 0 for n in range(1, 7)]
    assert spared == [False, False, True, False, True, True]


def test_one_wrong_token_counts_once() -> None:
    """A script that was forgotten comes again and again, and shuts nobody out."""
    clock = Seconds()
    throttle = Throttle(clock)
    shared = origin("203.0.113.7")
    throttle.failed(shared, "old")
    for _ in range(10 * FAILURES):
        assert not throttle.admits(shared, "old")
        assert not throttle.admits(origin("203.0.113.8"), "old")
    fail(throttle, shared, FAILURES - 1)
    assert refused(throttle, shared) == EVERY
    clock.now += REMEMBERED
    assert throttle.admits(shared, "old")


def forged() -> str:
    return f"pg_1_{next(NUMBERS):043}"


def ask(service: Service, token: str) -> tuple[int, int]:
    answer = service.nobody.get("/v1/status", headers={"Authorization": f"Bearer {token}"})
    if answer.status_code == 429:
        assert answer.json()["type"] == "/problems/too-many-requests"
        assert token not in answer.text
    return answer.status_code, int(answer.headers.get("Retry-After", 0))


def test_too_many_failures_are_turned_away(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    assert service.admin.get("/v1/status").status_code == 200
    last = ""
    for _ in range(FAILURES):
        last = forged()
        assert ask(service, last)[0] == 401
    code, after = ask(service, forged())
    assert code == 429
    assert 1 <= after <= EVERY
    # Whoever comes without a token tries nothing.
    assert service.nobody.get("/v1/status").status_code == 401
    # From the same address: one that has been here goes on, one that has not must wait.
    assert service.admin.get("/v1/status").status_code == 200
    assert service.clients[Role.VIEWER].get("/v1/status").status_code == 429
    # What is known to be wrong is said to be, without asking the database.
    assert ask(service, last)[0] == 401
    assert caplog.text.count("127.0.0.1: too many tokens that do not work (request ") == 1
    assert last not in caplog.text


def test_a_revoked_token_ends_although_it_has_worked(service: Service) -> None:
    made = service.admin.post("/v1/tokens", json={"name": "t", "role": "viewer"}).json()
    assert ask(service, made["token"])[0] == 200
    assert service.admin.delete(f"/v1/tokens/{made['id']}").status_code == 204
    assert ask(service, made["token"])[0] == 401
