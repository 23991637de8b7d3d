"""Reports of strangers, that are right, to be made wrong one field at a time."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import httpx

from tests.api.bodies import NOW, text
from tests.api.client import Client
from tests.api.conftest import Service

Item = dict[str, Any]
MINUTE = timedelta(minutes=1)
INTERVAL = 5 * MINUTE


def seen(source: str = "203.0.113.9", *, until: datetime = NOW, **fields: object) -> Item:
    return {
        "gateway": "hub",
        "source": source,
        "service": "udp/51820",
        "first_seen": text(until - 4 * MINUTE),
        "last_seen": text(until - MINUTE),
        "packets": 400,
        "samples": 4,
        "minutes": 3,
        "dropped": False,
    } | fields


def interval(
    service: Service, strangers: Iterable[Item], *, until: datetime = NOW, **fields: object
) -> Item:
    return {
        "registry": service.admin.get("/v1/status").json()["registry"],
        "since": text(until - INTERVAL),
        "until": text(until),
        "gateways": {"hub": {"packets": 1000, "samples": 10}},
        "strangers": list(strangers),
    } | fields


def tell(
    service: Service,
    *strangers: Item,
    until: datetime = NOW,
    router: str = "edge-1",
    by: Client | None = None,
    **fields: object,
) -> httpx.Response:
    body = interval(service, strangers, until=until, **fields)
    return (by or service.agent).put(f"/v1/routers/{router}/strangers", json=body)


def told(service: Service, *strangers: Item, until: datetime = NOW, **fields: Any) -> None:  # noqa: ANN401  # as tell() has them
    answered = tell(service, *strangers, until=until, **fields)
    assert answered.status_code == 204, answered.text


def listed(service: Service, /, **query: object) -> list[Item]:
    """All pages; everybody unless said otherwise."""
    asked = {"covered": True, "signed_off": True, "limit": 500} | query
    items: list[Item] = []
    cursor: dict[str, str] = {}
    while True:
        page = service.admin.get("/v1/strangers", params={**asked, **cursor})
        assert page.status_code == 200, page.text
        items += page.json()["items"]
        if page.json()["next"] is None:
            return items
        cursor = {"cursor": page.json()["next"]}


def sources(service: Service, /, **query: object) -> list[str]:
    return [each["source"] for each in listed(service, **query)]
