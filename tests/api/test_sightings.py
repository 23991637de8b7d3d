"""When a peer was last seen: the newest word of all routers, and no change of anything."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import httpx
import pytest

from tests.api.bodies import NOW, text
from tests.api.conftest import Service, on_sqlite

HOUR = timedelta(hours=1)


@pytest.fixture
def hub(service: Service) -> Service:
    service.add_gateway()
    for number in range(1, 5):
        service.add_peer(name=f"p-{number}")
    return service


def tell(service: Service, router: str, *seen: tuple[datetime, list[int]]) -> httpx.Response:
    registry = service.admin.get("/v1/status").json()["registry"]
    body = {
        "registry": registry,
        "seen": [{"at": text(at), "peers": numbers} for at, numbers in seen],
    }
    return service.admin.put(f"/v1/routers/{router}/seen", json=body)


def last_seen(service: Service) -> list[str | None]:
    return [each["last_seen"] for each in service.admin.get("/v1/peers").json()["items"]]


def test_the_newest_word_counts(hub: Service) -> None:
    before = hub.revision, hub.admin.get("/v1/peers/1").headers["ETag"]
    assert last_seen(hub) == [None] * 4
    assert tell(hub, "edge-1", (NOW - 3 * HOUR, [1]), (NOW - HOUR, [3, 2])).status_code == 204
    assert tell(hub, "edge-2", (NOW - 2 * HOUR, [1, 2])).status_code == 204
    expected = [text(NOW - 2 * HOUR), text(NOW - HOUR), text(NOW - HOUR), None]
    assert last_seen(hub) == expected
    assert hub.admin.get("/v1/peers/2").json()["last_seen"] == text(NOW - HOUR)
    assert (hub.revision, hub.admin.get("/v1/peers/1").headers["ETag"]) == before


def test_nobody_is_seen_in_the_future_nor_without_being_there(hub: Service) -> None:
    assert tell(hub, "edge-1", (NOW + HOUR, [1]), (NOW, [99, 4294967295])).status_code == 204
    assert last_seen(hub) == [text(NOW), None, None, None]


@on_sqlite
def test_a_router_tells_of_its_own_peers_alone(hub: Service) -> None:
    hub.add_gateway("fra", addresses=["198.51.100.2"], routers={"site": "fra"})
    hub.add_peer(name="there", gateway="fra", sources=["203.0.113.99"])
    hub.add_router("fra-1", site="fra")
    assert tell(hub, "edge-1", (NOW - HOUR, [4, 5])).status_code == 204
    assert last_seen(hub)[3:] == [text(NOW - HOUR), None]
    assert tell(hub, "fra-1", (NOW, [4, 5])).status_code == 204
    assert last_seen(hub)[3:] == [text(NOW), text(NOW)]


def test_a_router_tells_of_itself_alone(hub: Service) -> None:
    registry = hub.admin.get("/v1/status").json()["registry"]
    body = {"registry": registry, "seen": []}
    assert hub.agent.put("/v1/routers/edge-1/seen", json=body).status_code == 204
    assert hub.agent.put("/v1/routers/edge-2/seen", json=body).status_code == 403


def test_peers_of_another_registry_are_not_ours(hub: Service) -> None:
    body = {"registry": "other", "seen": [{"at": text(NOW), "peers": [1]}]}
    refused = hub.agent.put("/v1/routers/edge-1/seen", json=body)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/other-registry")
    assert last_seen(hub) == [None] * 4


@pytest.mark.parametrize("peers", [[0], [4294967296], ["x"], list(range(1, 20_002))])
def test_what_is_no_peer_is_refused(hub: Service, peers: list[object]) -> None:
    registry = hub.admin.get("/v1/status").json()["registry"]
    body = {"registry": registry, "seen": [{"at": text(NOW), "peers": peers}]}
    assert hub.agent.put("/v1/routers/edge-1/seen", json=body).status_code == 422


def test_many_routers_tell_at_once(hub: Service) -> None:
    def work(number: int) -> int:
        numbers = [1, 2, 3, 4] if number % 2 else [4, 3, 2, 1]
        return tell(hub, f"edge-{number}", (NOW - number * HOUR, numbers)).status_code

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(1, 17))) == [204] * 16
    assert last_seen(hub) == [text(NOW - HOUR)] * 4


def test_as_many_as_one_request_may_hold(hub: Service) -> None:
    everyone = list(range(1, 20_001))
    assert tell(hub, "edge-1", (NOW, everyone)).status_code == 204
    assert last_seen(hub) == [text(NOW)] * 4
