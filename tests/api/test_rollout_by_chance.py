"""Staged roll-outs, whatever comes in whatever order."""

from random import Random

import pytest

from tests.api.bodies import gateway, peer
from tests.api.conftest import Service
from tests.api.follower import Follower
from tests.api.test_rollout import ANY, set_rule


@pytest.mark.parametrize("luck", range(4))
def test_whatever_happens_both_hold_what_is_their_own(service: Service, luck: int) -> None:
    """Random changes, releases and stages; whoever follows has what a snapshot says."""
    random = Random(luck)
    service.add_gateway()
    set_rule(service)
    followers = {
        name: Follower(service.add_router(name, **({"stage": "canary"} if name == "r-a" else {})))
        for name in ("r-a", "r-b", "r-c")
    }
    for step in range(70):
        _something(service, random, step)
        for follower in followers.values():
            if random.random() < 0.4:
                follower.follow()
                follower.check()
    service.admin.delete("/v1/rollout", headers=ANY)
    for follower in followers.values():
        follower.follow()
        follower.check()
        assert follower.peers == followers["r-a"].peers


def _something(service: Service, random: Random, step: int) -> None:
    """What cannot be done just then is refused."""
    admin, act = service.admin, random.randrange(10)
    name, number = f"g-{random.randrange(3)}", random.randrange(1, 9)
    urgent = {"urgent": random.random() < 0.4}
    if act == 0:
        admin.post("/v1/gateways", json=gateway(name=name, addresses=[f"198.51.100.{step}"]))
    elif act == 1:
        admin.delete(f"/v1/gateways/{name}", headers=ANY)
    elif act == 2:
        labels = random.choice(({}, {"stage": "canary"}))
        router = f"/v1/routers/r-{random.choice('bc')}"
        admin.patch(router, json={"labels": labels}, headers=ANY)
    elif act == 3:
        head = service.revision
        admin.post("/v1/rollout/confirm", json={"revision": random.randrange(head + 1)})
    elif act == 4 and random.random() < 0.3:
        admin.post("/v1/rollout/abort")
    elif act == 5 and random.random() < 0.5:
        body = {"to_revision": random.randrange(service.revision + 1)}
        admin.post("/v1/rollback", json=body, headers=ANY, params=urgent)
    elif act == 6:
        admin.post(f"/v1/peers/{number}/revoke", headers=ANY, params=urgent)
    elif act == 7 and random.random() < 0.2:
        admin.delete("/v1/rollout", headers=ANY)
        admin.put("/v1/rollout", json={"canaries": {"stage": "canary"}}, headers=ANY)
    else:
        wanted = peer(name=f"p-{step}", gateway=random.choice((name, "hub")))
        made = admin.post("/v1/peers", json=wanted)
        if made.status_code == 201:
            path = f"/v1/peers/{made.json()['id']}/approve"
            admin.post(path, headers=ANY, params=urgent)
