"""Each router gets what is assigned to it by label, as differences, and reads nothing else."""

from random import Random

import pytest

from lab.watch import wait_until
from tests.api.bodies import gateway, peer
from tests.api.conftest import Service, on_sqlite
from tests.api.follower import Follower

ANY = {"If-Match": "*"}


def select(service: Service, name: str, **labels: str) -> None:
    changed = service.admin.patch(f"/v1/gateways/{name}", json={"routers": labels}, headers=ANY)
    assert changed.status_code == 200, changed.text


def label(service: Service, name: str, **labels: str) -> None:
    changed = service.admin.patch(f"/v1/routers/{name}", json={"labels": labels}, headers=ANY)
    assert changed.status_code == 200, changed.text


def two_sites(service: Service) -> None:
    """Gateways everywhere, in Frankfurt and in Amsterdam, with one peer each: 1, 2, 3."""
    for number, (name, labels) in enumerate(
        (("all", {}), ("fra", {"site": "fra"}), ("ams", {"site": "ams"})), 1
    ):
        service.add_gateway(name, addresses=[f"198.51.100.{number}"], routers=labels)
        service.add_peer(name=f"branch-{number}", gateway=name)


def test_a_router_sees_the_gateways_that_its_labels_select(service: Service) -> None:
    two_sites(service)
    fra = Follower(service.add_router("fra-1", site="fra", stage="canary"))
    bare = Follower(service.add_router("bare"))
    assert (set(fra.gateways), set(fra.peers)) == ({"all", "fra"}, {1, 2})
    assert (set(bare.gateways), set(bare.peers)) == ({"all"}, {1})
    # By which labels it was chosen is not for routers.
    assert "routers" not in fra.gateways["fra"]
    everything = service.admin.get("/v1/allowlist").json()
    assert [each["name"] for each in everything["gateways"]] == ["all", "ams", "fra"]
    of_fra = service.admin.get("/v1/allowlist", params={"router": "fra-1"}).json()
    assert of_fra["gateways"] == fra.snapshot()["gateways"]


def test_a_token_reads_nothing_that_is_not_assigned_to_its_router(service: Service) -> None:
    two_sites(service)
    ams = service.add_router("ams-1", site="ams")
    held = Follower(ams)
    for path in ("/v1/allowlist?", "/v1/allowlist/changes?after=1&"):
        other = ams.get(f"{path}router=edge-1")
        assert (other.status_code, other.json()["type"]) == (403, "/problems/other-router")
        assert "peergate router token edge-1" in other.json()["detail"]
    for path in ("/v1/gateways", "/v1/gateways/fra", "/v1/peers", "/v1/peers/2", "/v1/policy",
                 "/v1/routers", "/v1/routers/ams-1", "/v1/tokens"):  # fmt: skip
        assert ams.get(path).status_code == 403, path
    status = ams.get("/v1/status").json()
    assert (status["gateways"], status["peers"], status["routers"]) == (None, None, None)
    # Nor by what changes elsewhere: neither names nor ids.
    number = service.add_peer(name="more", gateway="fra", sources=["203.0.113.9"])
    service.act(number, "revoke")
    service.admin.patch("/v1/gateways/fra", json={"mode": "monitor"}, headers=ANY)
    service.add_gateway("secret", addresses=["198.51.100.9"], routers={"site": "fra"})
    changes = held.follow()
    assert (changes["gateways"], changes["peers"]) == ({}, {})
    assert changes["revision"] == service.revision
    held.check()


def test_other_labels_come_and_go_as_differences(service: Service) -> None:
    two_sites(service)
    router = Follower(service.add_router("edge-2", site="fra"))
    label(service, "edge-2", site="ams")
    changes = router.follow()
    assert {n: bool(g) for n, g in changes["gateways"].items()} == {"ams": True, "fra": False}
    # What stays is not sent again.
    assert {n: bool(p) for n, p in changes["peers"].items()} == {"2": False, "3": True}
    router.check()
    other = Follower(service.agent)
    label(service, "edge-2")
    assert set(router.follow()["gateways"]) == {"ams"}
    router.check()
    assert other.follow()["gateways"] == {}


@on_sqlite
def test_very_many_that_come_or_go_need_a_snapshot(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in one answer, of which each line is made for that."""
    two_sites(service)
    router = service.add_router("edge-2", site="fra")
    held = Follower(router)
    label(service, "edge-2", site="ams")
    monkeypatch.setattr("api.registry.allowlist.MOST", 1)
    refused = router.get("/v1/allowlist/changes", params={"after": held.revision})
    assert (refused.status_code, refused.json()["type"]) == (410, "/problems/snapshot-required")
    held.start()
    assert set(held.peers) == {1, 3}


def test_a_change_of_labels_wakes_a_router_that_waits(service: Service) -> None:
    two_sites(service)
    client = service.add_router("edge-2", site="fra")
    before = service.revision
    label(service, "edge-2", site="ams")
    told = client.get("/v1/allowlist/changes", params={"after": before, "wait": 20}).json()
    assert set(told["gateways"]) == {"ams", "fra"}


def test_another_selector_comes_and_goes_as_differences(service: Service) -> None:
    two_sites(service)
    fra = Follower(service.add_router("fra-1", site="fra"))
    ams = Follower(service.add_router("ams-1", site="ams"))
    select(service, "fra", site="ams")
    assert fra.follow()["gateways"] == {"fra": None}
    assert set(ams.follow()["peers"]) == {"2"}
    # Away while it came and went, and while its peers did.
    select(service, "fra")
    service.act(2, "revoke")
    number = service.add_peer(name="later", gateway="fra")
    select(service, "fra", site="fra", stage="none-of-them")
    for router in (fra, ams):
        router.follow()
    assert (set(fra.gateways), set(ams.gateways)) == ({"all"}, {"all", "ams"})
    select(service, "fra", site="fra")
    assert set(fra.follow()["peers"]) == {str(number)}
    ams.follow()
    for router in (fra, ams):
        router.check()


def test_a_router_has_its_labels_from_a_revision_on(service: Service) -> None:
    """Who has seen it at the revision before, before it was there, is told what that adds."""
    two_sites(service)
    before = service.revision
    service.add_router("edge-2", site="fra")
    asked = {"after": before, "router": "edge-2"}
    told = service.admin.get("/v1/allowlist/changes", params=asked).json()
    assert (set(told["gateways"]), set(told["peers"])) == ({"fra"}, {"2"})
    service.add_router("edge-3")
    assert service.revision == before + 1


def test_a_router_that_was_removed_is_another_one_when_it_is_back(service: Service) -> None:
    two_sites(service)
    before = service.add_router("edge-2", site="fra")
    held = Follower(before)
    first = service.admin.get("/v1/routers/edge-2").headers["ETag"]
    gone = service.admin.delete("/v1/routers/edge-2", headers=ANY)
    assert gone.status_code == 204
    # Who was let in is known for half a second more.
    assert wait_until(lambda: before.get("/v1/allowlist").status_code == 401, 20)
    held.client = service.add_router("edge-2", site="ams")
    again = service.admin.get("/v1/routers/edge-2").headers["ETag"]
    assert again != first
    held.follow()
    held.check()


def test_labels_are_changed_by_those_who_have_seen_them(service: Service) -> None:
    service.add_router("edge-2", site="fra")
    etag = service.admin.get("/v1/routers/edge-2").headers["ETag"]
    path, body = "/v1/routers/edge-2", {"labels": {"site": "ams"}}
    assert service.admin.patch(path, json=body).status_code == 428
    done = service.admin.patch(path, json=body, headers={"If-Match": etag})
    assert (done.status_code, done.json()["labels"]) == (200, {"site": "ams"})
    stale = service.admin.patch(path, json=body, headers={"If-Match": etag})
    assert stale.status_code == 412
    assert service.agent.patch(path, json=body, headers=ANY).status_code == 403
    assert service.admin.post("/v1/routers", json={"name": "edge-2"}).status_code == 409
    wrong = service.admin.patch(path, json={"labels": {"site": ""}}, headers=ANY)
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "labels.site")


def test_an_agents_token_is_for_one_router(service: Service) -> None:
    made = service.admin.post("/v1/tokens", json={"name": "edge-9", "role": "agent"})
    assert made.json()["router"] == "edge-9"
    # It was made with it; a second token is for the same one.
    assert service.admin.get("/v1/routers/edge-9").json()["labels"] == {}
    second = {"name": "edge-9-new", "role": "agent", "router": "edge-9"}
    assert service.admin.post("/v1/tokens", json=second).status_code == 201
    typing_error = {"name": "edge-9", "role": "agent", "router": "egde-9"}
    assert service.admin.post("/v1/tokens", json=typing_error).status_code == 404
    viewer = {"name": "alice", "role": "viewer", "router": "edge-9"}
    assert service.admin.post("/v1/tokens", json=viewer).status_code == 422


@pytest.mark.parametrize("luck", range(3))
def test_whatever_happens_each_holds_what_is_its_own(service: Service, luck: int) -> None:
    """Random changes, and routers that look now and then: changes lead where a snapshot does."""
    random = Random(luck)
    routers = {f"r-{n}": Follower(service.add_router(f"r-{n}", **_labels(random))) for n in "abc"}
    for step in range(60):
        _something(service, random, step)
        for follower in routers.values():
            if random.random() < 0.4:
                follower.follow()
                follower.check()
    for follower in routers.values():
        follower.follow()
        follower.check()


def _labels(random: Random) -> dict[str, str]:
    wanted = {"site": random.choice(("fra", "ams")), "stage": random.choice(("one", "two"))}
    return {key: value for key, value in wanted.items() if random.random() < 0.6}


def _something(service: Service, random: Random, step: int) -> None:
    """What cannot be done just then is refused."""
    name, number = f"g-{random.randrange(4)}", random.randrange(1, 9)
    admin, act = service.admin, random.randrange(8)
    if act == 0:
        spec = gateway(name=name, addresses=[f"198.51.100.{step}"], routers=_labels(random))
        admin.post("/v1/gateways", json=spec)
    elif act == 1:
        admin.patch(f"/v1/gateways/{name}", json={"routers": _labels(random)}, headers=ANY)
    elif act == 2:
        router = f"r-{random.choice('abc')}"
        admin.patch(f"/v1/routers/{router}", json={"labels": _labels(random)}, headers=ANY)
    elif act == 3:
        admin.delete(f"/v1/gateways/{name}", headers=ANY)
    elif act == 4:
        admin.post(f"/v1/peers/{number}/revoke", headers=ANY)
    else:
        wanted = peer(name=f"p-{step}", gateway=name, sources=[f"203.0.113.{step}"])
        made = admin.post("/v1/peers", json=wanted)
        if made.status_code == 201:
            admin.post(f"/v1/peers/{made.json()['id']}/approve", headers=ANY)
