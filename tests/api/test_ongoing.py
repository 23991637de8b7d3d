"""A token that is taken back ends what was begun with it, too."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from lab.watch import wait_until
from tests.api.bodies import NOW, text
from tests.api.conftest import Service
from tests.api.test_watch import until_waiting

# Far below what the request would wait by itself.
_SOON = 20


def revoke(service: Service, number: int) -> None:
    assert service.admin.delete(f"/v1/tokens/{number}").status_code == 204


def expire(service: Service, _: int) -> None:
    service.clock.pass_time(timedelta(hours=2))


@pytest.mark.parametrize("end", [revoke, expire])
def test_who_waits_is_let_go_when_their_token_ends(
    service: Service, end: Callable[[Service, int], None]
) -> None:
    service.add_gateway()
    body = {"name": "t", "role": "viewer", "expires": text(NOW + timedelta(hours=1))}
    made = service.admin.post("/v1/tokens", json=body).json()
    bearer = {"Authorization": f"Bearer {made['token']}"}
    query = {"after": 1, "wait": 60}
    with ThreadPoolExecutor(2) as pool:
        ask = pool.submit(service.nobody.get, "/v1/allowlist/changes", params=query, headers=bearer)
        other = pool.submit(service.agent.get, "/v1/allowlist/changes", params=query)
        until_waiting(service, 2)
        end(service, made["id"])
        # What there was when they asked, which they might see.
        assert ask.result(_SOON).json()["revision"] == 1
        until_waiting(service, 1)
        service.add_gateway("b", addresses=["198.51.100.2"])
        assert list(other.result(_SOON).json()["gateways"]) == ["b"]

    def refused() -> bool:
        asked = service.nobody.get("/v1/allowlist/changes", params={"after": 1}, headers=bearer)
        return asked.status_code == 401

    # Who was let in is known for half a second more.
    assert wait_until(refused, _SOON)
