"""Lists of gateways, routers and tokens, narrowed down."""

from typing import Any

import pytest

from tests.api.conftest import Service


def names(service: Service, path: str, **query: object) -> list[Any]:
    """Of all pages, each of one thing."""
    found, cursor = list[Any](), None
    while True:
        asked = {**query, "limit": 1} | ({} if cursor is None else {"cursor": cursor})
        page = service.admin.get(path, params=asked)
        assert page.status_code == 200, page.text
        found += [each["name"] for each in page.json()["items"]]
        cursor = page.json()["next"]
        if cursor is None:
            return found


@pytest.fixture
def many(service: Service) -> Service:
    service.add_gateway("fra-hub", mode="monitor")
    service.add_gateway("fra-lab", addresses=["198.51.100.9"], mode="enforce")
    service.add_gateway("hub", addresses=["198.51.100.10"], mode="monitor")
    service.add_router("fra-1", site="fra", stage="canary")
    service.add_router("fra-2", site="fra")
    service.add_router("ams-1", site="ams", stage="canary")
    return service


def test_gateways_by_name_and_mode(many: Service) -> None:
    assert names(many, "/v1/gateways") == ["fra-hub", "fra-lab", "hub"]
    assert names(many, "/v1/gateways", name_prefix="fra-") == ["fra-hub", "fra-lab"]
    assert names(many, "/v1/gateways", mode="monitor") == ["fra-hub", "hub"]
    assert names(many, "/v1/gateways", name_prefix="fra-", mode="enforce") == ["fra-lab"]
    assert many.admin.get("/v1/gateways?mode=drop").status_code == 422


def test_routers_by_name_and_labels(many: Service) -> None:
    assert names(many, "/v1/routers") == ["ams-1", "edge-1", "fra-1", "fra-2"]
    assert names(many, "/v1/routers", name_prefix="fra") == ["fra-1", "fra-2"]
    assert names(many, "/v1/routers", label="stage=canary") == ["ams-1", "fra-1"]
    assert names(many, "/v1/routers", label=["site=fra", "stage=canary"]) == ["fra-1"]
    assert names(many, "/v1/routers", label="site=muc") == []
    assert many.admin.get("/v1/routers?label=site").status_code == 422


def test_tokens_by_role_and_router(many: Service) -> None:
    agents = ["edge-1", "agent-of-fra-1", "agent-of-fra-2", "agent-of-ams-1"]
    assert sorted(names(many, "/v1/tokens", role="agent")) == sorted(agents)
    assert names(many, "/v1/tokens", router="fra-2") == ["agent-of-fra-2"]
    assert names(many, "/v1/tokens", role="viewer") == ["a-viewer"]
    assert names(many, "/v1/tokens", role="viewer", router="fra-2") == []
