"""Reports: the latest of each router, and none about another registry."""

from datetime import timedelta

from tests.api.bodies import NOW, report, text
from tests.api.conftest import Service


def test_the_latest_report_is_shown(service: Service) -> None:
    service.add_gateway()
    registry = service.admin.get("/v1/status").json()["registry"]
    for name, revision in (("edge-2", 1), ("edge-1", 0), ("edge-1", 1)):
        body = report(registry, revision)
        assert service.agent.put(f"/v1/routers/{name}/report", json=body).status_code == 204
        service.clock.pass_time(timedelta(seconds=1))
    shown = service.admin.get("/v1/routers/edge-1").json()
    assert shown == {
        "name": "edge-1",
        "received": text(NOW + timedelta(seconds=2)),
        "lag": 0,
        "report": report(registry, 1),
    }
    listed = service.admin.get("/v1/routers").json()["items"]
    assert [each["name"] for each in listed] == ["edge-1", "edge-2"]
    service.add_gateway("b", addresses=["198.51.100.2"])
    assert service.admin.get("/v1/routers/edge-1").json()["lag"] == 1
    assert service.admin.get("/v1/status").json()["routers"] == 2


def test_a_report_about_another_registry_is_kept_out(service: Service) -> None:
    body = report("00000000-0000-4000-8000-000000000000", 99)
    refused = service.agent.put("/v1/routers/edge-1/report", json=body)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/other-registry")
    assert service.admin.get("/v1/routers").json()["items"] == []
    assert service.revision == 0


def test_a_router_that_lies_does_not_shut_out_the_others(service: Service) -> None:
    service.add_gateway()
    registry = service.admin.get("/v1/status").json()["registry"]
    highest = report(registry, 2**52)
    assert service.agent.put("/v1/routers/liar/report", json=highest).status_code == 204
    for revision in (2**52 + 2, 2**53):
        beyond = service.agent.put("/v1/routers/liar/report", json=report(registry, revision))
        assert (beyond.status_code, beyond.json()["errors"][0]["field"]) == (422, "revision")
    service.add_gateway("b", addresses=["198.51.100.2"])
    honest = report(registry, service.revision)
    assert service.revision == 2**52 + 2
    assert service.agent.put("/v1/routers/edge-1/report", json=honest).status_code == 204
