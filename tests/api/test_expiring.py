"""Which peers end soon."""

from datetime import timedelta

import pytest

from tests.api.bodies import NOW, text
from tests.api.conftest import Service

DAY = timedelta(days=1)


def ids(service: Service, **query: object) -> list[int]:
    found: list[int] = []
    cursor = None
    while True:
        asked = query | ({"cursor": cursor} if cursor else {})
        answer = service.admin.get("/v1/peers/expiring", params=asked)
        assert answer.status_code == 200, answer.text
        found += [each["id"] for each in answer.json()["items"]]
        cursor = answer.json()["next"]
        if cursor is None:
            return found


def test_the_first_to_end_comes_first(service: Service) -> None:
    service.add_gateway()
    days = (3, 1, None, 2, 30, 1)
    numbers = [
        service.add_peer(name=f"p-{n}", valid_until=None if d is None else text(NOW + d * DAY))
        for n, d in enumerate(days)
    ]
    service.request_peer(name="pending", valid_until=text(NOW + DAY))
    gone = service.add_peer(name="gone", valid_until=text(NOW + DAY))
    service.act(gone, "revoke")
    three, one, _, two, month, another = numbers
    assert ids(service) == [one, another, two, three]
    for limit in (1, 2, 3, 4, 5):
        assert ids(service, limit=limit) == [one, another, two, three]
    assert ids(service, within="30d", limit=2) == [one, another, two, three, month]
    assert ids(service, within="24h") == [one, another]
    assert ids(service, within="1439m") == []
    # Whoever has ended expires no more.
    service.clock.pass_time(DAY)
    assert ids(service) == [two, three]
    assert ids(service, within="999999d") == [two, three, month]


@pytest.mark.parametrize(
    "query", ["within=14", "within=-1d", "within=9999999d", "cursor=1", "cursor=x-1", "days=3"]
)
def test_what_is_no_time_is_refused(service: Service, query: str) -> None:
    assert service.admin.get(f"/v1/peers/expiring?{query}").status_code == 422


def test_a_cursor_of_ones_own_making_is_no_defect(service: Service) -> None:
    for cursor in ("0-0", "99999999999999999-9999999999"):
        assert service.admin.get(f"/v1/peers/expiring?cursor={cursor}").status_code == 200
