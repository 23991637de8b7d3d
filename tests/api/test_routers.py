"""Reports: the latest of each router, and none about another registry."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from api import signing
from api.records import Actor
from api.registry import routers
from api.registry.core import Aside, Expected
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


def test_a_router_that_shows_nothing_lifts_nothing(service: Service, tmp_path: Path) -> None:
    """Its token alone would send all routers to snapshots, and let out what waits."""
    service.add_gateway()
    registry = service.admin.get("/v1/status").json()["registry"]
    liar = service.add_router("liar")
    other_file = tmp_path / "other.key"
    signing.make(other_file)
    other = signing.Signer(other_file)
    before, right = service.revision, service.word(41)
    statement = signing.Statement(**json.loads(right["statement"]))
    forged = other.sign(statement)["Peergate-Signature"]
    words = (
        None,
        service.word(40),
        service.word(2**52 + 1),
        service.word(41, registry="11111111-1111-4111-8111-111111111111"),
        {**right, "statement": right["statement"].replace("41", "42")},
        {**right, "signature": forged},
        {**right, "signature": "x y"},
        {**right, "signature": right["signature"].partition(" ")[0] + " x"},
    )
    for word in words:
        body = report(registry, 41, word=word)
        refused = liar.put("/v1/routers/liar/report", json=body)
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/not-lifted")
        assert "peergate api lift --to-revision 41" in refused.json()["detail"]
    assert service.revision == before
    # An admin sees who is ahead.
    (warning, *_) = service.admin.get("/v1/routers/liar").json()["warnings"]
    assert "peergate api lift --to-revision 41" in warning
    assert liar.put("/v1/routers/liar/report", json=report(registry, 41, word=right)).is_success
    assert service.revision == 42
    assert "word" not in service.admin.get("/v1/routers/liar").json()["report"]


def test_the_word_of_an_older_key_counts_while_its_endorsement_does(tmp_path: Path) -> None:
    file = tmp_path / "registry.key"
    signing.make(file)
    headers = signing.Signer(file).sign(
        signing.Statement("registry", "changes", "all", 0, 41, text(NOW), "0" * 64)
    )
    word = headers["Peergate-Statement"], headers["Peergate-Signature"]
    signing.rotate(file, NOW)
    signing.rotate(file, NOW)
    later = signing.Signer(file)
    found = later.said(*word, NOW + timedelta(days=6))
    assert found is not None
    assert found.revision == 41
    assert later.said(*word, NOW + timedelta(days=7)) is None


def test_a_router_that_is_removed_while_it_reports(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = service.admin.get("/v1/status").json()
    agent, other = service.add_router("edge-2"), service.add_router("edge-3")
    registry = service.app.state.registry
    right = registry.aside

    @contextmanager
    def aside(author: str) -> Iterator[Aside]:
        monkeypatch.undo()
        with registry.write(Actor("an admin"), "a test") as write:
            routers.remove(write, "edge-2", Expected(any_version=True))
        with right(author) as found:
            yield found

    monkeypatch.setattr(registry, "aside", aside)
    sent = report(status["registry"], status["revision"])
    refused = agent.put("/v1/routers/edge-2/report", json=sent)
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/not-found")
    assert other.put("/v1/routers/edge-3/report", json=sent).status_code == 204
    names = [each["name"] for each in service.admin.get("/v1/routers").json()["items"]]
    assert names == ["edge-1", "edge-3"]


ONE = {"packets": 1, "bytes": 60}


@pytest.mark.parametrize(
    "counters",
    [
        {f"hub-{n}": {} for n in range(4096 * 16 + 2)},
        {"hub": {"v" * (1 + n % 40) + "_" * (n // 40): ONE for n in range(65)}},
        {"h" * 65: {"registered_pass": ONE}},
        {"hub\0": {"registered_pass": ONE}},
        {"hub": {"registered pass": ONE}},
        {"hub": {"v" * 41: ONE}},
        {"hub": {"registered_pass": ONE | {"packets": 2**64}}},
        {"hub": {"registered_pass": ONE | {"bytes": 10**1000}}},
    ],
)
def test_counters_are_no_more_than_a_router_has(
    service: Service, counters: dict[str, object]
) -> None:
    registry = service.admin.get("/v1/status").json()["registry"]
    sent = report(registry, 0, counters=counters)
    assert service.agent.put("/v1/routers/edge-1/report", json=sent).status_code == 422
    assert service.admin.get("/v1/routers/edge-1").json()["report"] is None
    most = {f"hub-{n}": {"registered_pass": {"packets": 2**64 - 1, "bytes": 0}} for n in range(4)}
    sent = report(registry, 0, counters=most)
    assert service.agent.put("/v1/routers/edge-1/report", json=sent).status_code == 204
    assert service.admin.get("/v1/routers/edge-1").json()["report"]["counters"] == most
