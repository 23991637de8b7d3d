"""What happened is told, once and in its order, and nothing that did not happen."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from api.database import open_store
from api.errors import ConflictError, GoneError
from api.event_records import KeptEvent
from api.event_types import EventType
from api.records import Actor
from api.registry import events as happenings
from api.registry import gateways, upkeep
from api.registry.attention import Attention
from api.registry.router_events import SILENT_AFTER
from api.routes.event_feed import Feed
from api.settings import Settings
from api.store.schema import events
from policy.document import GatewaySpec
from tests.api.bodies import NOW, gateway, peer, report, text
from tests.api.conftest import Service
from tests.api.streams import Event, parsed

ANY = {"If-Match": "*"}


def told(service: Service, **query: object) -> list[Event]:
    """What is kept."""
    params = {"follow": "false"} | {name: str(value) for name, value in query.items()}
    answer = service.admin.get("/v1/events", params=params)
    assert answer.status_code == 200, answer.text
    return list(parsed(answer.text.splitlines()))


def newest(service: Service) -> int:
    return max((each["id"] for each in told(service)), default=0)


@pytest.fixture
def since(service: Service) -> Callable[[], list[Event]]:
    """What was told since it was asked last; the tokens of the seed do not count."""
    place = newest(service)

    def since() -> list[Event]:
        nonlocal place
        found = told(service, after=place)
        place = found[-1]["id"] if found else place
        return found

    return since


def short(found: list[Event]) -> list[tuple[str, str | None]]:
    return [(each["type"], each["subject"]) for each in found]


def test_a_peers_life(service: Service, since: Callable[[], list[Event]]) -> None:
    service.add_gateway()
    number = str(service.request_peer(valid_until=text(NOW + timedelta(days=90))))
    service.act(1, "approve")
    service.admin.patch("/v1/peers/1", json={"sources": ["203.0.113.8"]}, headers=ANY)
    service.act(1, "renew", {"valid_until": None})
    service.act(1, "revoke", {"reason": "contract ended"})
    service.request_peer()
    service.act(2, "reject", {"reason": "no"})
    service.admin.patch("/v1/gateways/hub", json={"mode": "monitor"}, headers=ANY)
    service.admin.delete("/v1/gateways/hub", headers=ANY)
    found = since()
    assert short(found) == [
        ("gateway.added", "hub"),
        ("peer.requested", number),
        ("peer.approved", number),
        ("peer.edited", number),
        ("peer.renewed", number),
        ("peer.revoked", number),
        ("peer.requested", "2"),
        ("peer.rejected", "2"),
        ("gateway.changed", "hub"),
        ("gateway.removed", "hub"),
    ]
    assert [each["revision"] for each in found] == [1, None, 2, 3, 4, 5, None, None, 6, 7]
    assert {each["author"] for each in found} == {"admin"}
    assert {each["count"] for each in found} == {1}
    assert found[3]["content"]["fields"] == ["sources"]
    assert found[5]["content"] | {"owner": "", "contact": ""} == {
        "name": "branch-7",
        "gateway": "hub",
        "owner": "",
        "contact": "",
        "valid_from": None,
        "valid_until": None,
        "reason": "contract ended",
    }
    assert found[8]["content"] == {"fields": ["mode"], "mode": "monitor"}


def test_roll_outs_and_rollbacks_are_told(
    service: Service, since: Callable[[], list[Event]]
) -> None:
    service.add_gateway()
    then = service.revision
    service.admin.delete("/v1/gateways/hub", headers=ANY)
    since()
    done = service.admin.post("/v1/rollback", json={"to_revision": then}, headers=ANY)
    assert done.is_success
    revived, rolled_back = since()
    assert short([revived, rolled_back]) == [
        ("gateway.added", "hub"),
        ("revision.rolled-back", str(then)),
    ]
    assert revived["content"]["addresses"] == ["198.51.100.1"]
    assert rolled_back["content"] == {"changes": 1}
    rule = {"canaries": {"stage": "canary"}, "hold": None}
    assert service.admin.put("/v1/rollout", json=rule, headers=ANY).is_success
    (told_of,) = since()
    assert (told_of["type"], told_of["author"]) == ("rollout.set", "admin")
    assert told_of["content"] == rule | {"released": service.revision}
    service.add_peer()
    body = {"revision": service.revision}
    assert service.admin.post("/v1/rollout/confirm", json=body).is_success
    service.add_peer(name="other")
    assert service.admin.post("/v1/rollout/abort").is_success
    assert service.admin.delete("/v1/rollout", headers=ANY).is_success
    found = [each["type"] for each in since() if each["type"].startswith("r")]
    assert found == ["rollout.confirmed", "rollout.aborted", "rollout.ended"]


def test_what_does_not_change_anything_is_not_told(
    service: Service, since: Callable[[], list[Event]]
) -> None:
    service.add_gateway()
    service.add_peer()
    since()
    assert service.admin.post("/v1/peers", json=peer()).status_code == 409
    assert service.admin.post("/v1/peers/1/approve", headers=ANY).status_code == 409
    service.admin.patch("/v1/peers/1", json={"owner": "Branch networks"}, headers=ANY)
    service.admin.put("/v1/policy", json=service.admin.get("/v1/policy").json(), headers=ANY)
    registry = service.app.state.registry
    spec = GatewaySpec.model_validate(gateway(name="b", addresses=["198.51.100.2"]))
    with pytest.raises(ConflictError), registry.write(Actor("a test"), "undone") as write:  # noqa: PT012
        gateways.create(write, spec)
        raise ConflictError("after all not")
    assert since() == []
    service.add_gateway("b", addresses=["198.51.100.2"])
    found = told(service)
    assert [each["id"] for each in found] == list(range(1, len(found) + 1))


def test_one_change_of_many_things_is_one_event_of_each_kind(
    service: Service, since: Callable[[], list[Event]]
) -> None:
    service.add_gateway()
    since()
    some = [peer(name=f"p-{n}", sources=[f"2001:db8:{n:x}::/48"]) for n in range(1, 101)]
    document = {"gateways": [gateway()], "peers": some}
    assert service.admin.put("/v1/policy", json=document, headers=ANY).status_code == 200
    assert len(since()) == 101
    more = [peer(name=f"q-{n}", sources=[f"2001:db8:{n:x}::/48"]) for n in range(1, 102)]
    document = {"gateways": [gateway(mode="monitor")], "peers": more + some[1:]}
    assert service.admin.put("/v1/policy", json=document, headers=ANY).status_code == 200
    found = since()
    assert [(e["type"], e["subject"], e["count"]) for e in found] == [
        ("gateway.changed", "hub", 1),
        ("peer.revoked", "1", 1),
        ("policy.applied", None, 1),
        ("peer.approved", None, 101),
    ]
    assert found[2]["content"] == {
        "changes": {"change gateway": 1, "add peer": 101, "revoke peer": 1}
    }
    assert len({each["revision"] for each in found}) == 1


def test_tokens_are_told_of_without_their_secrets(
    service: Service, settings: Settings, since: Callable[[], list[Event]]
) -> None:
    made = service.admin.post("/v1/tokens", json={"name": "t", "role": "viewer"}).json()
    service.admin.delete(f"/v1/tokens/{made['id']}")
    content = {"name": "t", "role": "viewer"}
    assert [(e["type"], e["subject"], e["content"]) for e in since()] == [
        ("token.made", str(made["id"]), content | {"expires": None}),
        ("token.revoked", str(made["id"]), content),
    ]
    store = open_store(settings)
    with store.read() as connection:
        dump = str(connection.execute(events.select()).all())
    store.close()
    assert made["token"].split("_", 2)[2] not in dump


def test_what_a_router_reports(service: Service, since: Callable[[], list[Event]]) -> None:
    service.add_gateway()
    registry = service.admin.get("/v1/status").json()["registry"]
    off = {"name": "eth0", "attach": "native", "attached": False, "program": None, "error": "x"}

    def reports(revision: int, **fields: object) -> list[tuple[str, Any]]:
        body = report(registry, revision, **fields)
        done = service.agent.put("/v1/routers/edge-1/report", json=body)
        assert done.status_code == 204, done.text
        found = since()
        assert {each["subject"] for each in found} <= {"edge-1", str(revision)}
        assert {each["author"] for each in found} <= {"peergate"}
        return [(each["type"], each["content"]) for each in found]

    since()
    assert reports(0) == [("router.new", {"revision": 0})]
    assert reports(0) == []
    assert reports(1) == [("revision.applied", {"routers": 1, "seconds": 0.0})]
    assert reports(1, interfaces=[off]) == [("router.detached", {"interfaces": ["eth0"]})]
    assert reports(1, held="too many") == [
        ("router.attached", {"interfaces": ["eth0"]}),
        ("router.held", {"held": "too many"}),
    ]
    # The same state, of which there is more to say.
    assert reports(1, held="even more") == []
    assert reports(1) == [("router.released", {"held": None})]
    assert reports(1, repairs=3) == [("router.repaired", {"repairs": 3})]
    # An agent that was started anew.
    assert reports(1, repairs=1) == [("router.repaired", {"repairs": 1})]
    assert reports(1, repairs=1) == []
    assert reports(1, put_back=2) == [("router.put-back", {"times": 2})]
    assert reports(1) == []
    off_by = {"offset": 3.5, "synchronised": False, "correction": 0.0}
    assert reports(1, clock=off_by) == [("router.clock-off", {"offset": -3.5})]
    assert reports(1, clock=off_by | {"offset": 4.0}) == []
    assert reports(1, clock=off_by | {"offset": 0.1}) == [("router.clock-right", {"offset": -0.1})]
    assert reports(1, clock=None) == []


def test_whoever_followed_another_history_starts_anew(service: Service) -> None:
    """One that a restore ended: its numbers come again, and are other events."""
    service.add_gateway()
    last = newest(service)
    feed: Feed = service.app.state.feed

    def read(number: int) -> tuple[KeptEvent, ...]:
        with service.app.state.registry.read() as read:
            return happenings.after(read.connection, number, 10)

    def followed(number: int) -> list[int]:
        found = service.admin.call(partial(feed.after, number, 20, read))
        return [each.number for each in found]

    assert followed(last - 1) == [last]
    registry = service.admin.get("/v1/status").json()["registry"]
    body = report(registry, 9, word=service.word(9))
    assert service.agent.put("/v1/routers/edge-1/report", json=body).status_code == 204
    for place in (0, last, last + 1, last + 10**6):
        gone = service.admin.get(f"/v1/events?follow=false&after={place}")
        assert (gone.status_code, gone.json()["type"]) == (410, "/problems/events-forgotten")
    with pytest.raises(GoneError):
        followed(last)
    found = told(service)
    assert short(found) == [("revision.lifted", "10"), ("router.new", "edge-1")]
    number = found[-1]["id"]
    service.add_gateway("b", addresses=["198.51.100.2"])
    assert [each["id"] for each in told(service, after=number)] == [number + 1]
    assert followed(number) == [number + 1]


def test_a_silent_router_is_told_of_once_whoever_looks(
    service: Service, since: Callable[[], list[Event]]
) -> None:
    service.add_gateway()
    body = report(service.admin.get("/v1/status").json()["registry"], 1)
    service.agent.put("/v1/routers/edge-1/report", json=body)
    since()
    looks = [Attention(service.app.state.registry, ()) for _ in range(2)]

    def look() -> list[Event]:
        for each in looks:
            each.look()
        return since()

    service.clock.pass_time(timedelta(hours=1))
    # The registry itself was away for all that they know.
    assert look() == []
    service.clock.pass_time(SILENT_AFTER)
    found = look()
    assert short(found) == [("router.silent", "edge-1")]
    assert found[0]["content"] == {"last_heard": text(NOW)}
    assert look() == []
    body["time"] = text(service.clock.now)
    service.agent.put("/v1/routers/edge-1/report", json=body)
    found = look()
    assert short(found) == [("router.back", "edge-1")]
    assert found[0]["content"] == {"silent_since": text(NOW)}
    service.clock.pass_time(SILENT_AFTER + timedelta(seconds=1))
    assert short(look()) == [("router.silent", "edge-1")]


def test_where_a_stream_starts(service: Service) -> None:
    service.add_gateway()
    service.clock.pass_time(timedelta(hours=1))
    service.add_peer()
    everything = told(service)
    assert [each["type"] for each in everything][-3:] == [
        "gateway.added",
        "peer.requested",
        "peer.approved",
    ]
    assert told(service, since=text(NOW + timedelta(minutes=30))) == everything[-2:]
    assert told(service, since=text(NOW + timedelta(hours=1))) == everything[-2:]
    assert told(service, since=text(NOW + timedelta(hours=2))) == []
    last = everything[-1]["id"]
    for place in range(last + 1):
        assert told(service, after=place) == everything[place:]
        # As browsers do, whatever the address says.
        resumed = service.admin.get(
            "/v1/events?follow=false&after=0", headers={"Last-Event-ID": str(place)}
        )
        assert list(parsed(resumed.text.splitlines())) == everything[place:]
    ahead = service.admin.get(f"/v1/events?after={last + 1}")
    assert (ahead.status_code, ahead.json()["type"]) == (409, "/problems/event-ahead")
    wrong = service.admin.get("/v1/events", headers={"Last-Event-ID": "x"})
    assert wrong.status_code == 422


def test_only_some_types(service: Service) -> None:
    service.add_gateway()
    service.add_peer()
    path = "/v1/events?follow=false&types=peer.approved&types=gateway.added"
    found = list(parsed(service.admin.get(path).text.splitlines()))
    assert short(found) == [("gateway.added", "hub"), ("peer.approved", "1")]
    refused = service.admin.get("/v1/events?types=peer.eaten")
    assert refused.json()["errors"][0]["field"] == "types[0]"


def test_old_ones_go(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.add_gateway()
    service.add_peer()
    last = newest(service)
    monkeypatch.setattr(happenings, "KEPT", 2)
    registry = service.app.state.registry
    upkeep.upkeep(registry, timedelta(hours=1))
    assert [each["id"] for each in told(service)] == [last - 1, last]
    assert [each["id"] for each in told(service, after=last - 2)] == [last - 1, last]
    gone = service.admin.get(f"/v1/events?after={last - 3}")
    assert (gone.status_code, gone.json()["type"]) == (410, "/problems/events-forgotten")
    service.clock.pass_time(happenings.KEPT_FOR + timedelta(seconds=1))
    service.add_gateway("b", addresses=["198.51.100.2"])
    upkeep.upkeep(registry, timedelta(hours=1))
    assert [each["id"] for each in told(service)] == [last + 1]


def test_every_type_fits_its_column() -> None:
    assert max(map(len, EventType)) <= 32
