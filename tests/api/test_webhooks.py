"""Webhooks: kept by an admin; what happened arrives signed, in order, at least once."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete

from api.records import Role
from api.registry import deliveries
from api.settings import Settings
from api.store import leases, schema
from lab.watch import wait_until
from tests.api.bodies import NOW, gateway, text
from tests.api.conftest import Seed, Service, on_postgresql
from tests.api.process import Process
from tests.api.receiver import Receiver, receiving, verify

ANY = {"If-Match": "*"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, private_webhooks=True)


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.deliver._LOOK", 0.05)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def add(service: Service, url: str, name: str = "pager", **fields: object) -> dict[str, Any]:
    made = service.admin.post("/v1/webhooks", json={"name": name, "url": url} | fields)
    assert made.status_code == 201, made.text
    body: dict[str, Any] = made.json()
    return body


def shown(service: Service, name: str = "pager") -> dict[str, Any]:
    found: dict[str, Any] = service.admin.get(f"/v1/webhooks/{name}").json()
    return found


def until_failing(service: Service, failures: int) -> dict[str, Any]:
    """The clock stands still: it is not tried again until the test lets time pass."""
    assert wait_until(lambda: shown(service)["failures"] >= failures, 20), shown(service)
    return shown(service)


def test_what_happens_arrives_signed_and_in_order(service: Service, receiver: Receiver) -> None:
    service.add_gateway()
    made = add(service, receiver.url)
    service.request_peer()
    service.act(1, "approve")
    service.act(1, "revoke", {"reason": "over"})
    receiver.until(lambda: len(receiver.taken) >= 4)
    assert [each["type"] for each in receiver.taken] == [
        "webhook.added",
        "peer.requested",
        "peer.approved",
        "peer.revoked",
    ]
    # As the stream has them.
    lines = service.admin.get(f"/v1/events?follow=false&after={made['place']}").text
    assert [f"data: {body.decode()}" in lines for body in receiver.bodies] == [True] * 4
    registry = service.admin.get("/v1/status").json()["registry"]
    for headers, body, each in zip(receiver.headers, receiver.bodies, receiver.taken, strict=True):
        assert verify(made["secret"], headers, body)
        assert not verify(made["secret"], headers, body.replace(b"peer", b"pear") + b" ")
        assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
        assert headers["webhook-id"] == f"{registry}_{each['id']}_{int(NOW.timestamp())}"
        assert headers["content-type"] == "application/json"
    assert wait_until(lambda: shown(service)["place"] == receiver.ids[-1], 20)
    assert (shown(service)["state"], shown(service)["delivered"]) == ("ok", text(NOW))


def test_only_some_types(service: Service, receiver: Receiver) -> None:
    add(service, receiver.url, types=["peer.approved"])
    service.add_gateway()
    for number in range(1, 4):
        service.add_peer(name=f"p-{number}")
    receiver.until(lambda: len(receiver.taken) == 3)
    assert {each["type"] for each in receiver.taken} == {"peer.approved"}


def test_what_is_not_taken_comes_again_and_nothing_before_it(service: Service) -> None:
    service.add_gateway()
    with receiving(lambda number: 500 if number < 2 else 200) as receiver:
        add(service, receiver.url, types=["peer.requested", "peer.approved"])
        service.add_peer()
        first = until_failing(service, 1)
        assert (first["state"], first["error"]) == ("retrying", "answered 500")
        assert first["failing_since"] == text(NOW)
        pauses = []
        for failures in (1, 2):
            found = until_failing(service, failures)
            pauses.append(found["next_try"])
            assert receiver.asked == failures
            service.clock.pass_time(timedelta(seconds=5 * failures))
        receiver.until(lambda: len(receiver.taken) == 2)
    assert [each["type"] for each in receiver.taken] == ["peer.requested", "peer.approved"]
    assert wait_until(lambda: shown(service)["state"] == "ok", 20)
    assert shown(service)["error"] is None
    assert all(text(NOW) < pause <= text(NOW + timedelta(seconds=15)) for pause in pauses)


def test_pauses_grow_until_it_is_given_up(service: Service) -> None:
    with receiving(lambda _: 500) as receiver:
        add(service, receiver.url, types=["gateway.added"])
        service.add_gateway()
        spans = []
        for failures in range(1, 300):
            found = until_failing(service, failures)
            if found["state"] == "failed":
                break
            assert found["state"] == "retrying"
            span = datetime.fromisoformat(found["next_try"]) - service.clock.now
            spans.append(span.total_seconds())
            service.clock.pass_time(span + timedelta(hours=6 * (failures > 12)))
        # In vain for three days and a bit.
        assert service.clock.now - NOW >= deliveries.GIVE_UP
        for number, seconds in enumerate(spans):
            longest = min(5 * 2**number, 3600)
            assert longest / 2 <= seconds <= longest
        asked = receiver.asked
        lines = service.admin.get("/v1/events?follow=false&types=webhook.failed").text
        assert '"subject":"pager"' in lines
        (given_up,) = service.admin.get("/v1/audit?action=webhook.fail").json()["items"]
        assert (given_up["actor"]["name"], given_up["subject"]) == ("peergate", "webhook/pager")
        assert given_up["before"]["failed"] is None
        assert given_up["after"]["failed"] == text(service.clock.now)
        service.clock.pass_time(timedelta(days=1))
        service.add_gateway("b", addresses=["198.51.100.2"])
        # It goes on where it stopped.
        receiver.answer = lambda _: 200
        assert shown(service)["state"] == "failed"
        assert receiver.asked == asked
        service.admin.patch("/v1/webhooks/pager", json={"enabled": True}, headers=ANY)
        receiver.until(lambda: len(receiver.taken) == 2)
    assert [each["subject"] for each in receiver.taken] == ["hub", "b"]


def test_a_disabled_one_waits(service: Service, receiver: Receiver) -> None:
    add(service, receiver.url, types=["gateway.added"])
    off = service.admin.patch("/v1/webhooks/pager", json={"enabled": False}, headers=ANY)
    assert off.json()["state"] == "disabled"
    service.add_gateway()
    with receiving() as other:
        add(service, other.url, "other", types=["gateway.changed"])
        service.admin.patch("/v1/gateways/hub", json={"mode": "monitor"}, headers=ANY)
        other.until(lambda: len(other.taken) == 1)
    assert receiver.asked == 0
    service.admin.patch("/v1/webhooks/pager", json={"enabled": True}, headers=ANY)
    receiver.until(lambda: len(receiver.taken) == 1)


def test_a_slow_one_and_a_dead_one_hold_up_nobody(
    service: Service, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.outbound._SECONDS", 1.0)
    with receiving() as slow:
        slow.gate.clear()
        add(service, slow.url, "slow", types=["gateway.added"])
        add(service, "http://127.0.0.1:9/", "dead", types=["gateway.added"])
        add(service, receiver.url, types=["gateway.added"])
        service.add_gateway()
        receiver.until(lambda: len(receiver.taken) == 1)
        assert wait_until(lambda: shown(service, "slow")["failures"] == 1, 20)
        assert shown(service, "slow")["error"] == "no answer within 1 s"
        assert wait_until(lambda: shown(service, "dead")["failures"] == 1, 20)
        assert "connection" in shown(service, "dead")["error"].lower()
        slow.gate.set()
        service.clock.pass_time(timedelta(seconds=5))
        # At least once: the first one was carried out after we had hung up.
        slow.until(lambda: len(slow.taken) == 2)
    assert len(set(slow.ids)) == 1


def test_a_redirect_is_not_followed(service: Service, receiver: Receiver) -> None:
    with receiving(lambda _: 307, receiver.url) as moved:
        add(service, moved.url, types=["gateway.added"])
        service.add_gateway()
        found = until_failing(service, 1)
    assert found["error"] == "answered 307: redirects are not followed"
    assert receiver.asked == 0


def test_no_proxy_of_the_environment_is_asked(
    monkeypatch: pytest.MonkeyPatch,
    start: Callable[[Settings], Service],
    settings: Settings,
    receiver: Receiver,
) -> None:
    with receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        service = start(settings)
        add(service, receiver.url, types=["gateway.added"])
        service.add_gateway()
        receiver.until(lambda: len(receiver.taken) == 1)
        assert proxy.asked == 0


def test_a_test_says_how_it_went(service: Service, receiver: Receiver) -> None:
    made = add(service, receiver.url, types=["peer.revoked"])
    done = service.admin.post("/v1/webhooks/pager/test")
    assert done.json() == {"taken": True, "error": None}
    assert verify(made["secret"], receiver.headers[0], receiver.bodies[0])
    assert (receiver.taken[0]["type"], receiver.taken[0]["id"]) == ("webhook.test", 0)
    receiver.answer = lambda _: 403
    done = service.admin.post("/v1/webhooks/pager/test")
    assert done.json() == {"taken": False, "error": "answered 403"}
    assert shown(service)["failures"] == 0


def test_a_private_address_is_refused_unless_it_is_allowed(
    start: Callable[[Settings], Service], settings: Settings, receiver: Receiver
) -> None:
    """Also where a name leads there, and whatever it was when it was looked at."""
    service = start(replace(settings, private_webhooks=False))
    refused = service.admin.post("/v1/webhooks", json={"name": "p", "url": receiver.url})
    assert refused.json()["errors"][0]["rule"] == "must start with https://"
    port = receiver.url.rpartition(":")[2]
    for number, host in enumerate(("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]")):
        name = f"p-{number}"
        add(service, f"https://{host}:{port}", name)
        done = service.admin.post(f"/v1/webhooks/{name}/test").json()
        assert not done["taken"]
        assert "is not a public address" in done["error"], done
    service.add_gateway()
    assert wait_until(lambda: shown(service, "p-0")["failures"] >= 1, 20)
    assert "is not a public address" in shown(service, "p-0")["error"]
    assert receiver.asked == 0


def test_its_secret_is_shown_once(service: Service, receiver: Receiver) -> None:
    key = {"Idempotency-Key": "1"}
    body = {"name": "pager", "url": receiver.url}
    made = service.admin.post("/v1/webhooks", json=body, headers=key)
    secret = made.json()["secret"]
    assert made.headers["Location"] == "/v1/webhooks/pager"
    again = service.admin.post("/v1/webhooks", json=body, headers=key)
    assert (again.status_code, again.json()["type"]) == (409, "/problems/answer-not-kept")
    other = service.admin.post("/v1/webhooks", json=body)
    assert (other.status_code, other.json()["type"]) == (409, "/problems/name-taken")
    for path in ("/v1/webhooks", "/v1/webhooks/pager", "/v1/events?follow=false"):
        assert secret not in service.admin.get(path).text
    receiver.until(lambda: len(receiver.taken) == 1)
    assert secret.encode() not in receiver.bodies[0]


def test_its_secret_is_renewed_without_a_pause(service: Service, receiver: Receiver) -> None:
    former = add(service, receiver.url)["secret"]
    renewed = service.admin.post("/v1/webhooks/pager/secret")
    assert renewed.status_code == 201
    secret = renewed.json()["secret"]
    assert secret not in service.admin.get("/v1/webhooks/pager").text
    service.add_gateway()
    receiver.until(lambda: "gateway.added" in [each["type"] for each in receiver.taken])
    both = [verify(each, receiver.headers[-1], receiver.bodies[-1]) for each in (former, secret)]
    assert both == [True, True]
    service.clock.pass_time(timedelta(days=1))
    service.add_peer()
    receiver.until(lambda: "peer.requested" in [each["type"] for each in receiver.taken])
    both = [verify(each, receiver.headers[-1], receiver.bodies[-1]) for each in (former, secret)]
    assert both == [False, True]
    trail = service.admin.get("/v1/audit").text
    assert "webhook.renew_secret" in trail
    assert secret not in trail


def test_its_versions(service: Service, receiver: Receiver) -> None:
    add(service, receiver.url)
    etag = service.admin.get("/v1/webhooks/pager").headers["ETag"]
    body = {"types": ["peer.approved"]}
    assert service.admin.patch("/v1/webhooks/pager", json=body).status_code == 428
    stale = service.admin.patch("/v1/webhooks/pager", json=body, headers={"If-Match": '"0"'})
    assert stale.status_code == 412
    changed = service.admin.patch("/v1/webhooks/pager", json=body, headers={"If-Match": etag})
    assert changed.status_code == 200
    # How it fares is no change of it.
    receiver.until(lambda: receiver.asked >= 1)
    assert service.admin.get("/v1/webhooks/pager").headers["ETag"] == changed.headers["ETag"]
    assert service.admin.delete("/v1/webhooks/pager", headers=ANY).status_code == 204
    assert service.admin.get("/v1/webhooks/pager").status_code == 404
    add(service, receiver.url)
    renewed = service.admin.get("/v1/webhooks/pager").headers["ETag"]
    assert int(renewed.strip('"')) > int(changed.headers["ETag"].strip('"'))


@on_postgresql
def test_of_several_processes_one_delivers_and_another_goes_on_when_it_is_killed(
    settings: Settings, seed: Seed, receiver: Receiver
) -> None:
    with ExitStack() as stack:
        processes = []
        for _ in range(3):
            process = Process(settings, seed.tokens, PEERGATE_PRIVATE_WEBHOOKS="yes")
            stack.callback(process.end)
            processes.append(process)
        for process in processes:
            process.wait_until_ready()
        last = processes[-1]
        with last.client(Role.ADMIN) as admin:
            body = {"name": "pager", "url": receiver.url, "types": ["gateway.added"]}
            assert admin.post("/v1/webhooks", json=body).status_code == 201

            def happen(start: int, count: int) -> None:
                for number in range(start, start + count):
                    sent = gateway(name=f"g-{number}", addresses=[f"2001:db8::{number + 1:x}"])
                    assert admin.post("/v1/gateways", json=sent).status_code == 201

            happen(0, 20)
            receiver.until(lambda: len(receiver.taken) >= 20)
            # In its middle: whichever of the first two delivers is gone with a delivery on its way.
            receiver.gate.clear()
            happen(20, 20)
            receiver.until(lambda: receiver.asked > len(receiver.taken))
            for process in processes[:2]:
                process.process.kill()
            receiver.gate.set()
            receiver.until(lambda: len(set(receiver.ids)) >= 40, 60)
    # In order, each once but for those that were on their way.
    assert sorted(receiver.ids) == receiver.ids
    assert len(receiver.ids) - len(set(receiver.ids)) <= 1
    assert [f"g-{n}" for n in range(40)] == list(
        dict.fromkeys(each["subject"] for each in receiver.taken)
    )


def _held_by(service: Service, holder: str, span: timedelta) -> None:
    """Deliveries, as if this process had stood still until another one took over."""
    store = service.app.state.registry.store
    with store.write() as connection:
        connection.execute(delete(schema.leases))
        assert leases.take(connection, "webhooks", holder, span)


def test_deliveries_go_on_after_another_process_had_them(
    service: Service, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "LEASE", timedelta(seconds=0.3))
    receiver.gate.clear()
    add(service, receiver.url, types=["gateway.added"])
    service.add_gateway()
    # On its way when it is taken over: broken off, for the other one sends it.
    receiver.until(lambda: receiver.asked == 1)
    _held_by(service, "another", timedelta(seconds=1))
    receiver.until(lambda: receiver.asked >= 2)
    receiver.gate.set()
    receiver.until(lambda: len(receiver.taken) >= 2)
    assert set(receiver.ids) == {receiver.ids[0]}
    service.add_gateway("b", addresses=["198.51.100.2"])
    receiver.until(lambda: receiver.taken[-1]["subject"] == "b")


@pytest.mark.parametrize("where", ["due", "next"])
def test_a_defect_is_logged_and_deliveries_go_on(
    service: Service,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: str,
) -> None:
    with monkeypatch.context() as broken:
        broken.delattr(deliveries.Deliverer, where)
        add(service, receiver.url, types=["gateway.added"])
        service.add_gateway()
        assert wait_until(lambda: f"no attribute '{where}'" in caplog.text, 20)
        assert receiver.asked == 0
    receiver.until(lambda: len(receiver.taken) == 1)
