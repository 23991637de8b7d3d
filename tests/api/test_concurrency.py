"""Many at once: nothing is lost, nothing is done twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx

from api.app import create_app
from api.records import Role
from api.settings import Settings
from tests.api.bodies import gateway, peer, report
from tests.api.client import Client, running
from tests.api.conftest import Seed, Service
from tests.api.test_watch import until_waiting

WORKERS = 8


def at_once(work: Callable[[int], httpx.Response]) -> list[int]:
    with ThreadPoolExecutor(WORKERS) as pool:
        return sorted(answer.status_code for answer in pool.map(work, range(WORKERS)))


def test_of_many_approvers_one_wins(service: Service) -> None:
    service.add_gateway()
    service.request_peer()
    before = service.revision
    codes = at_once(
        lambda _: service.admin.post("/v1/peers/1/approve", headers={"If-Match": '"1"'})
    )
    assert codes == [200] + [412] * (WORKERS - 1)
    assert service.revision == before + 1


def test_of_two_approvers_one_wins(service: Service) -> None:
    """The one who grants, or the one who declines: never both."""
    service.add_gateway()
    service.add_peer()
    approver = service.clients[Role.APPROVER]
    for _ in range(5):
        proposed = service.admin.post(
            "/v1/peers/1/propose", json={"purpose": "Other"}, headers={"If-Match": "*"}
        )
        expected = {"If-Match": proposed.headers["ETag"]}
        codes = at_once(
            lambda n: (
                approver.post("/v1/peers/1/grant", headers=expected)  # noqa: B023  # done by then
                if n % 2
                else service.admin.post(
                    "/v1/peers/1/decline",
                    json={"reason": "no"},
                    headers=expected,  # noqa: B023
                )
            )
        )
        assert codes == [200] + [412] * (WORKERS - 1)
        service.admin.patch("/v1/peers/1", json={"purpose": "As before"}, headers={"If-Match": "*"})


def test_of_many_edits_of_one_version_one_wins(service: Service) -> None:
    service.add_gateway()
    service.add_peer()
    etag = service.admin.get("/v1/peers/1").headers["ETag"]
    codes = at_once(
        lambda n: service.admin.patch(
            "/v1/peers/1", json={"purpose": f"purpose {n}"}, headers={"If-Match": etag}
        )
    )
    assert codes == [200] + [412] * (WORKERS - 1)


def test_each_write_is_a_revision_of_its_own(service: Service) -> None:
    service.add_gateway()
    for number in range(WORKERS):
        service.request_peer(name=f"p-{number}")
    before = service.revision
    codes = at_once(
        lambda n: service.admin.post(f"/v1/peers/{n + 1}/approve", headers={"If-Match": '"1"'})
    )
    assert codes == [200] * WORKERS
    found = service.agent.get("/v1/allowlist/changes", params={"after": before}).json()
    assert found["revision"] == before + WORKERS
    assert len(found["peers"]) == WORKERS


def test_one_name_is_given_to_one(service: Service) -> None:
    service.add_gateway()
    codes = at_once(lambda _: service.admin.post("/v1/peers", json=peer()))
    assert codes == [201] + [409] * (WORKERS - 1)


def test_one_claim_is_given_to_one(service: Service) -> None:
    codes = at_once(lambda n: service.admin.post("/v1/gateways", json=gateway(name=f"g-{n}")))
    assert codes == [201] + [409] * (WORKERS - 1)


def test_many_reports_of_one_router(service: Service) -> None:
    registry = service.admin.get("/v1/status").json()["registry"]
    path = "/v1/routers/edge-1/report"
    for _ in range(5):
        codes = at_once(lambda n: service.agent.put(path, json=report(registry, 0, repairs=n)))
        assert codes == [204] * WORKERS
    assert len(service.admin.get("/v1/routers").json()["items"]) == 1


def test_one_key_is_carried_out_once(service: Service) -> None:
    service.add_gateway()
    codes = at_once(
        lambda _: service.admin.post("/v1/peers", json=peer(), headers={"Idempotency-Key": "k"})
    )
    assert codes == [201] * WORKERS
    assert len(service.admin.get("/v1/peers").json()["items"]) == 1


def test_two_processes_share_a_database(service: Service, settings: Settings, seed: Seed) -> None:
    """Another application on the same file: its writes wake those who wait here."""
    service.add_gateway()
    other = create_app(settings, clock=service.clock)
    with running(other) as portal, ThreadPoolExecutor(1) as pool:
        there = Client(portal, other, seed.tokens[next(r for r in seed.tokens if r == "admin")])
        waiting = pool.submit(
            service.agent.get, "/v1/allowlist/changes", params={"after": 1, "wait": 30}
        )
        # FastAPI builds a route when it is first asked for, and two applications in one process
        # must not do so at once: it turns off a warning of pydantic's for all threads meanwhile.
        until_waiting(service, 1)
        body = gateway(name="b", addresses=["198.51.100.2"])
        assert there.post("/v1/gateways", json=body).status_code == 201
        answer = waiting.result(timeout=20)
        assert answer.status_code == 200, answer.text
        found = answer.json()
    assert (found["revision"], list(found["gateways"])) == (2, ["b"])
