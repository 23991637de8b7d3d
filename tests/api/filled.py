"""A registry with one of each thing: what tests of all routes need."""

from datetime import timedelta
from typing import Any

from tests.api.bodies import NOW, report, text
from tests.api.client import Client
from tests.api.conftest import Service
from tests.api.cutovers import gone_over
from tests.api.strangers import seen, told


def reported(service: Service) -> dict[str, Any]:
    """By a router that has all in force."""
    registry = service.admin.get("/v1/status").json()["registry"]
    counters: dict[str, object] = {"hub": {}, "quiet": {}, "switched": {}}
    return report(registry, service.revision, counters=counters)


def fill(service: Service) -> Client:
    """Peer 1 is pending, peer 2 approved, of peer 3 a change is proposed, peer 4 has an owner.
    Gateway `switched` has gone over, `quiet` may, `spare` has no peer. Answers the owner."""
    service.add_gateway()
    service.add_gateway("spare", addresses=["198.51.100.9"])
    service.add_router("spare")
    gone_over(service)
    rule = {"canaries": {"stage": "canary"}}
    service.admin.put("/v1/rollout", json=rule, headers={"If-Match": "*"})
    service.request_peer(name="pending")
    service.add_peer(name="approved", valid_until=text(NOW + timedelta(days=9)))
    service.act(service.add_peer(name="proposed"), "propose", {"purpose": "another"})
    owner = service.owner(service.add_peer(name="own", bounds={}))
    told_all = service.agent.put("/v1/routers/edge-1/report", json=reported(service))
    assert told_all.status_code == 204, told_all.text
    # An address that may not be asked: nothing leaves this machine.
    pager = {"name": "pager", "url": "https://192.0.2.80/"}
    assert service.admin.post("/v1/webhooks", json=pager).status_code == 201
    told(service, seen())
    ignored = {"gateway": "hub", "prefix": "192.0.2.0/28", "reason": "scanners"}
    assert service.admin.post("/v1/sign-offs", json=ignored).status_code == 201
    return owner
