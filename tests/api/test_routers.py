"""Reports: the latest of each router, and none about another registry."""

from datetime import timedelta

from tests.api.bodies import NOW, report, text
from tests.api.conftest import Service


def test_the_latest_report_is_shown(service: Service) -> None:
    registry = service.admin.get("/v1/status").json()["registry"]
    second = service.add_router("edge-2", site="fra")
    for client, name, revision in (
        (second, "edge-2", 1),
        (service.agent, "edge-1", 0),
        (service.agent, "edge-1", 1),
    ):
        body = report(registry, revision)
        assert client.put(f"/v1/routers/{name}/report", json=body).status_code == 204
        service.clock.pass_time(timedelta(seconds=1))
    shown = service.admin.get("/v1/routers/edge-1").json()
    assert (shown["received"], shown["lag"]) == (text(NOW + timedelta(seconds=2)), 0)
    assert (shown["report"], shown["behind_since"]) == (report(registry, 1), None)
    listed = service.admin.get("/v1/routers").json()["items"]
    assert [(each["name"], each["labels"]) for each in listed] == [
        ("edge-1", {}),
        ("edge-2", {"site": "fra"}),
    ]
    made = service.clock.now
    service.add_gateway("b", addresses=["198.51.100.2"])
    service.clock.pass_time(timedelta(seconds=5))
    late = service.admin.get("/v1/routers/edge-1").json()
    assert (late["lag"], late["behind_since"], late["warnings"]) == (1, text(made), [])
    assert service.admin.get("/v1/status").json()["routers"] == 2


def test_a_report_for_another_router_is_refused(service: Service) -> None:
    registry = service.admin.get("/v1/status").json()["registry"]
    service.add_router("edge-2")
    refused = service.agent.put("/v1/routers/edge-2/report", json=report(registry, 0))
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/other-router")
    assert service.admin.get("/v1/routers/edge-2").json()["report"] is None
    unknown = service.admin.put("/v1/routers/edge-3/report", json=report(registry, 0))
    assert unknown.status_code == 404


def warnings(service: Service, **fields: object) -> list[str]:
    """What is said of a router that has just reported this."""
    registry = service.admin.get("/v1/status").json()["registry"]
    body = report(registry, service.revision, time=text(service.clock.now), **fields)
    done = service.agent.put("/v1/routers/edge-1/report", json=body)
    assert done.status_code == 204, done.text
    assert done.headers["Peergate-Time"] == text(service.clock.now)
    found: list[str] = service.admin.get("/v1/routers/edge-1").json()["warnings"]
    return found


def test_what_is_wrong_with_a_router_is_said(service: Service) -> None:
    path = "/v1/routers/edge-1"
    assert "peergate router token edge-1" in service.admin.get(path).json()["warnings"][0]
    assert warnings(service) == []
    down = {"name": "eth1", "attach": "native", "attached": False, "error": "no such device"}
    for fields, part in (
        ({"held": "would cut off 300 of 900 sources"}, "holds back a change: would cut off 300"),
        ({"interfaces": [down]}, "eth1: the program is not attached, packets pass: no such device"),
        ({"interfaces": []}, "no interface"),
        ({"repairs": 3}, "repaired 3 times"),
        ({"clock": {"offset": -2.5, "synchronised": True}}, "2.5 s ahead of this registry's"),
        ({"clock": {"offset": 400.0, "synchronised": False}}, "there by that much too late"),
        (
            {"clock": {"offset": 400.0, "synchronised": False, "correction": 399.6}},
            "400.0 s behind this registry's: it judges validity by the registry's time instead",
        ),
    ):
        (said,) = warnings(service, **fields)
        assert part in said
    assert warnings(service, clock={"offset": 1.9, "synchronised": True}) == []
    service.clock.pass_time(timedelta(seconds=121))
    (silent,) = service.admin.get(path).json()["warnings"]
    assert silent.startswith(f"silent since {text(NOW)}")


def test_a_clock_that_is_off_is_seen_by_the_reports_time(service: Service) -> None:
    """Of an agent that does not measure it."""
    registry = service.admin.get("/v1/status").json()["registry"]
    behind = report(registry, 0, time=text(NOW - timedelta(seconds=7)))
    assert service.agent.put("/v1/routers/edge-1/report", json=behind).status_code == 204
    shown = service.admin.get("/v1/routers/edge-1").json()
    assert shown["clock_offset"] == -7
    assert "7.0 s behind" in shown["warnings"][0]


def test_a_report_about_another_registry_is_kept_out(service: Service) -> None:
    body = report("00000000-0000-4000-8000-000000000000", 99)
    refused = service.agent.put("/v1/routers/edge-1/report", json=body)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/other-registry")
    assert service.admin.get("/v1/routers/edge-1").json()["report"] is None
    assert service.revision == 0


def test_a_router_that_lies_does_not_shut_out_the_others(service: Service) -> None:
    service.add_gateway()
    registry = service.admin.get("/v1/status").json()["registry"]
    liar = service.add_router("liar")
    highest = report(registry, 2**52)
    assert liar.put("/v1/routers/liar/report", json=highest).status_code == 204
    for revision in (2**52 + 2, 2**53):
        beyond = liar.put("/v1/routers/liar/report", json=report(registry, revision))
        assert (beyond.status_code, beyond.json()["errors"][0]["field"]) == (422, "revision")
    service.add_gateway("b", addresses=["198.51.100.2"])
    honest = report(registry, service.revision)
    assert service.revision == 2**52 + 2
    assert service.agent.put("/v1/routers/edge-1/report", json=honest).status_code == 204
