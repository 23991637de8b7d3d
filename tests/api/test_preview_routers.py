"""Which routers would carry which gateways is told before a change of gateways or labels."""

from typing import Any

import httpx

from api.records import Role
from tests.api.bodies import NOW, WEEK, gateway, text
from tests.api.conftest import Service, on_sqlite
from tests.api.test_preview_rollout import Moved, held, moved
from tests.api.test_rollout import ANY, set_rule

DRY = {"dry_run": "true"}
GATEWAYS = "/v1/gateways"


def ask(
    service: Service, method: str, path: str, body: object = None, **headers: str
) -> httpx.Response:
    before = service.revision, service.admin.get(GATEWAYS).json()
    answer = service.admin.request(method, path, params=DRY, json=body, headers=headers)
    assert (service.revision, service.admin.get(GATEWAYS).json()) == before
    return answer


def carriers(answer: httpx.Response) -> tuple[list[str], list[str], int]:
    assert answer.status_code == 200, answer.text
    found = answer.json()["routers"]
    assert (found["gaining"], found["losing"]) == (len(found["gain"]), len(found["lose"]))
    return found["gain"], found["lose"], found["peers"]


def test_of_a_gateway_it_says_which_routers_begin_and_which_cease(service: Service) -> None:
    service.add_router("fra-1", site="fra")
    service.add_router("ams-1", site="ams", rack="7")
    service.add_gateway()
    service.add_peer(name="now")
    service.add_peer(name="later", valid_from=text(NOW + WEEK))
    service.add_peer(name="ends", valid_until=text(NOW + WEEK / 2))
    service.request_peer(name="waits")
    service.clock.pass_time(WEEK / 2)

    fra = gateway(name="fra", addresses=["198.51.100.2"], routers={"site": "fra"})
    added = ask(service, "POST", GATEWAYS, fra)
    assert carriers(added) == (["fra-1"], [], 0)
    assert (added.json()["dry_run"], added.json()["gateway"]["name"]) == (True, "fra")
    impact = added.json()["impact"]
    assert impact["unknown"] == ["fra: nobody has seen yet who talks to it"]
    assert (impact["effects"], impact["strangers"]) == ([], [])
    assert (
        ask(service, "POST", GATEWAYS, fra | {"mode": "monitor"}).json()["impact"]["unknown"] == []
    )
    for wrong, kind in (
        (fra | {"name": "hub"}, "name-taken"),
        (fra | {"addresses": ["198.51.100.1"]}, "gateways-clash"),
    ):
        for refused in (
            ask(service, "POST", GATEWAYS, wrong),
            service.admin.post(GATEWAYS, json=wrong),
        ):
            assert (refused.status_code, refused.json()["type"]) == (409, f"/problems/{kind}")

    hub = f"{GATEWAYS}/hub"
    selected = ask(service, "PATCH", hub, {"routers": {"site": "ams"}})
    assert carriers(selected) == ([], ["edge-1", "fra-1"], 2)
    assert selected.json()["gateway"]["routers"] == {"site": "ams"}
    assert carriers(ask(service, "PATCH", hub, {"mode": "monitor"})) == ([], [], 2)
    assert carriers(ask(service, "PATCH", hub, {})) == ([], [], 2)
    service.admin.patch(hub, json={"routers": {"site": "ams"}}, headers=ANY)
    both = {"routers": {"site": "fra"}}
    assert carriers(ask(service, "PATCH", hub, both)) == (["fra-1"], ["ams-1"], 2)
    service.add_gateway(**{**fra, "name": "empty"})
    assert carriers(ask(service, "DELETE", f"{GATEWAYS}/empty")) == ([], ["fra-1"], 0)


def relabel(service: Service, name: str, labels: dict[str, str]) -> dict[str, Any]:
    answer = ask(service, "PATCH", f"/v1/routers/{name}", {"labels": labels})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert (found["dry_run"], found["name"], found["labels"]) == (True, name, labels)
    return found


def gateways(found: dict[str, Any]) -> tuple[list[str], list[str]]:
    return tuple([each["gateway"] for each in found[which]] for which in ("gains", "loses"))  # type: ignore[return-value]


def test_of_a_routers_labels_it_says_which_gateways_come_and_go(service: Service) -> None:
    router = service.add_router("ams-1", site="ams")
    service.add_gateway()
    for number, site in enumerate(("ams", "fra"), 2):
        service.add_gateway(site, addresses=[f"198.51.100.{number}"], routers={"site": site})
    service.admin.patch(f"{GATEWAYS}/ams", json={"mode": "monitor"}, headers=ANY)
    service.add_peer(gateway="fra")
    path = "/v1/routers/ams-1"
    etag = service.admin.get(path).headers["ETag"]

    found = relabel(service, "ams-1", {"site": "fra"})
    assert found["gains"] == [{"gateway": "fra", "mode": "enforce", "peers": 1}]
    assert found["loses"] == [{"gateway": "ams", "mode": "monitor", "peers": 0}]
    assert (found["stage_before"], found["stage"], found["impact"]["effects"]) == (None, None, [])
    assert gateways(relabel(service, "ams-1", {})) == ([], ["ams"])
    assert gateways(relabel(service, "ams-1", {"site": "ams", "rack": "7"})) == ([], [])
    # Refused where the change would be.
    body = {"labels": {"site": "fra"}}
    assert ask(service, "PATCH", "/v1/routers/none", body).status_code == 404
    assert ask(service, "PATCH", path, body, **{"If-Match": etag}).status_code == 200
    assert ask(service, "PATCH", path, body, **{"If-Match": '"0"'}).status_code == 412
    viewer = service.clients[Role.VIEWER]
    assert viewer.patch(path, params=DRY, json=body).status_code == 403
    # And so it is.
    assert service.admin.patch(path, json=body, headers={"If-Match": etag}).status_code == 200
    carried = router.get("/v1/allowlist").json()["gateways"]
    assert [each["name"] for each in carried] == ["fra", "hub"]


@on_sqlite
def test_a_router_that_becomes_a_canary_gets_what_waits(service: Service) -> None:
    """And one that no longer is one loses it."""
    rest = service.add_router("edge-2")
    service.add_router("canary-1", stage="canary")
    service.add_gateway()
    service.add_peer(name="stays")
    goes = service.add_peer(name="goes", sources=["203.0.113.8"])
    set_rule(service)
    service.act(goes, "revoke")
    service.add_peer(name="comes", sources=["203.0.113.9"])
    service.add_gateway("new", addresses=["198.51.100.2"], routers={"stage": "canary"})
    service.add_peer(name="at-new", gateway="new", sources=["203.0.113.10"])

    service.add_gateway("fra", addresses=["198.51.100.3"], routers={"site": "fra"})

    def wanted(cut: str, let_in: str) -> Moved:
        address = {"goes": "203.0.113.8", "comes": "203.0.113.9"}
        return {cut: ([address[cut]], []), let_in: ([], [address[let_in]])}

    there = relabel(service, "edge-2", {"stage": "canary"})
    assert (there["stage_before"], there["stage"]) == ("rest", "canary")
    assert there["gains"] == [{"gateway": "new", "mode": "enforce", "peers": 1}]
    assert moved(there["impact"]) == wanted("goes", "comes")
    back = relabel(service, "canary-1", {})
    assert (back["stage_before"], back["stage"]) == ("canary", "rest")
    assert gateways(back) == ([], ["new"])
    assert moved(back["impact"]) == wanted("comes", "goes")
    same = relabel(service, "edge-2", {"site": "fra"})
    assert (same["stage_before"], same["stage"], moved(same["impact"])) == ("rest", "rest", {})
    # The rest does not have that one yet.
    assert gateways(same) == ([], [])
    assert gateways(relabel(service, "canary-1", {"stage": "canary", "site": "fra"})) == (
        ["fra"],
        [],
    )
    # And so it is.
    before = held(rest)
    body = {"labels": {"stage": "canary"}}
    assert service.admin.patch("/v1/routers/edge-2", json=body, headers=ANY).is_success
    assert held(rest) - before == {"203.0.113.9", "203.0.113.10"}
    assert before - held(rest) == {"203.0.113.8"}
