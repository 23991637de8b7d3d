"""A cut-over is taken back: by a word, or by itself where it cuts off too many."""

from datetime import timedelta

import pytest

from api.registry.cutover_watch import keep_time, look_for_drops
from tests.api.bodies import NOW, text
from tests.api.conftest import Service
from tests.api.cutovers import ANY, AT, FOR_GOOD, MINUTE, MONITOR, PLANNED, UNTIL, Hub
from tests.api.strangers import Item, seen, told

DAY = timedelta(days=1)
REASON = {"reason": "a branch office cannot connect"}
EARLIER = AT - MINUTE


@pytest.fixture
def hub(service: Service) -> Hub:
    return Hub.made(service)


def addresses(count: int, first: int = 1) -> list[str]:
    return [f"203.0.113.{n}" for n in range(first, first + count)]


def passed(hub: Hub, *sources: str) -> None:
    """They are seen before the switch, and only would be dropped."""
    told(hub.service, *(seen(each, until=EARLIER) for each in sources), until=EARLIER)


def dropped(hub: Hub, *sources: str, **fields: object) -> None:
    """They go on after it."""
    until = hub.service.clock.now
    hits: Item = {"dropped": True, "first_seen": text(until), "last_seen": text(until)} | fields
    told(hub.service, *(seen(each, **hits) for each in sources), until=until)
    look_for_drops(hub.service.app.state.registry)


def switched(hub: Hub, *sources: str, most: int = 2, **fields: object) -> None:
    """Those sources came after it was planned, and passed."""
    hub.plan(most_dropped_sources=most, **fields)
    hub.go_to(EARLIER)
    passed(hub, *sources)
    hub.go_to(AT + MINUTE)


@pytest.mark.parametrize("body", [REASON, {}])
def test_one_word_takes_it_back(hub: Hub, body: Item) -> None:
    hub.switch()
    before = hub.service.revision
    done = hub.act("return", body)
    assert (done.status_code, done.json()["state"]) == (200, "returned")
    assert done.json()["reason"] == body.get("reason")
    assert (hub.window, hub.service.revision) == (MONITOR, before + 1)
    hub.go_to(UNTIL + DAY)
    assert (hub.window, hub.state) == (MONITOR, "returned")
    assert hub.trail()[-1] == ("cutover.return", "a-approver")
    event = hub.events()[-1]
    assert (event["type"], event["content"]["reason"]) == ("cutover.returned", body.get("reason"))
    again = hub.act("return", body)
    assert (again.status_code, again.json()["type"]) == (409, "/problems/not-under-way")
    assert "the last one is returned, and hub is set to monitor" in again.json()["detail"]
    # And it may be tried again.
    assert hub.plan(at=text(UNTIL + 2 * DAY))["state"] == "planned"


def test_before_the_switch_that_cancels_it(hub: Hub) -> None:
    hub.plan()
    assert hub.act("return", REASON).json()["state"] == "cancelled"
    assert (hub.window, hub.told()) == (MONITOR, ["planned", "cancelled"])
    hub.go_to(AT)
    assert (hub.window, hub.state) == (MONITOR, "cancelled")


def test_once_it_is_confirmed_too(hub: Hub) -> None:
    hub.switch()
    hub.act("confirm")
    assert hub.window == FOR_GOOD
    hub.go_to(UNTIL + DAY)
    assert hub.act("return", REASON).json()["state"] == "returned"
    assert hub.window == MONITOR
    assert hub.told() == ["planned", "switched", "confirmed", "returned"]


def test_what_lapsed_or_was_never_there_is_not_taken_back(hub: Hub) -> None:
    assert hub.act("return", REASON).status_code == 404
    hub.plan()
    hub.service.clock.now = UNTIL
    late = hub.act("return", REASON)
    assert "the last one is lapsed" in late.json()["detail"]
    keep_time(hub.service.app.state.registry)
    assert (hub.state, hub.window) == ("lapsed", MONITOR)


def test_confirmed_and_set_to_monitor_there_is_nothing_to_take_back(hub: Hub) -> None:
    hub.switch()
    hub.act("confirm")
    hub.service.admin.patch("/v1/gateways/hub", json={"mode": "monitor"}, headers=ANY)
    assert hub.act("return", REASON).status_code == 409
    assert hub.state == "confirmed"


def test_too_many_that_passed_take_it_back(hub: Hub) -> None:
    first, second, third = addresses(3)
    switched(hub, first, second, third)
    dropped(hub, first, second)
    dropped(hub, first, second, service="udp/500")
    shown = hub.cutover
    assert (shown["state"], shown["dropped_sources"]) == ("switched", 2)
    assert sorted(shown["dropped"]) == [first, second]
    before = hub.service.revision
    hub.service.clock.pass_time(MINUTE)
    dropped(hub, third)
    assert (hub.state, hub.window, hub.service.revision) == ("returned", MONITOR, before + 1)
    why = "3 sources that passed until then were dropped, and 2 were the most"
    assert (hub.cutover["reason"], hub.cutover["ended_by"]) == (why, "peergate")
    record = hub.service.admin.get("/v1/audit?subject=cutover/hub").json()["items"][0]
    assert (record["action"], record["actor"]["name"]) == ("cutover.return", "peergate")
    assert sorted(record["after"]["dropped"]) == [first, second, third]
    content = hub.events()[-1]["content"]
    assert (content["reason"], content["dropped"]) == (why, 3)
    assert sorted(content["first"]) == [first, second, third]
    look_for_drops(hub.service.app.state.registry)
    assert hub.told() == ["planned", "switched", "returned"]


def test_who_never_passed_does_not_count(hub: Hub) -> None:
    """Scanners come all the time."""
    switched(hub, *addresses(2))
    dropped(hub, *addresses(9, 100))
    assert (hub.state, hub.cutover["dropped_sources"]) == ("switched", 0)
    # Nor who is only seen, on a router that has not switched.
    dropped(hub, *addresses(2), dropped=False)
    assert (hub.state, hub.cutover["dropped_sources"]) == ("switched", 0)


def test_who_is_registered_or_signed_off_does_not_count(hub: Hub) -> None:
    one, two, three, four = addresses(4)
    switched(hub, one, two, three, four)
    hub.service.add_peer(sources=[one])
    sign_off = {"gateway": "hub", "prefix": two, "reason": "a scanner"}
    assert hub.service.admin.post("/v1/sign-offs", json=sign_off).status_code == 201
    hub.service.request_peer(name="waits", sources=[three])
    dropped(hub, one, two, three, four)
    assert (hub.state, hub.cutover["dropped_sources"]) == ("switched", 2)


def test_whose_registration_ended_before_counts(hub: Hub) -> None:
    """It passed until then, as an expired one, and is dropped now."""
    service = hub.service
    number = service.add_peer(sources=addresses(1), valid_until=text(NOW + MINUTE))
    switched(hub, *addresses(1), most=1)
    dropped(hub, *addresses(1))
    assert hub.cutover["dropped"] == addresses(1)
    service.act(number, "renew", {"valid_until": None})
    assert hub.cutover["dropped"] == []


def test_drops_of_an_earlier_one_do_not_count(hub: Hub) -> None:
    """They passed again in between."""
    switched(hub, *addresses(3))
    dropped(hub, *addresses(3))
    assert hub.state == "returned"
    later = UNTIL + DAY
    hub.plan(at=text(later), most_dropped_sources=2, override="They were told")
    hub.go_to(later + MINUTE)
    dropped(hub, *addresses(3), dropped=False)
    assert (hub.state, hub.cutover["dropped_sources"]) == ("switched", 0)
    dropped_later = hub.service.clock.now + MINUTE
    hub.service.clock.now = dropped_later
    dropped(hub, *addresses(3))
    assert hub.state == "returned"


@pytest.mark.parametrize("most", [0, 9])
def test_the_bound_is_the_plans(hub: Hub, most: int) -> None:
    switched(hub, *addresses(9), most=most)
    dropped(hub, *addresses(9))
    assert (hub.state, hub.cutover["dropped_sources"]) == ("switched", 9)
    assert hub.window == PLANNED


def test_after_a_confirmation_nothing_goes_back_by_itself(hub: Hub) -> None:
    switched(hub, *addresses(9))
    hub.act("confirm")
    dropped(hub, *addresses(9))
    assert (hub.state, hub.window) == ("confirmed", FOR_GOOD)


def test_whom_the_plan_leaves_out_does_not_count(hub: Hub) -> None:
    switched(hub, *addresses(3), min_minutes=30)
    dropped(hub, *addresses(3))
    assert hub.state == "switched"


def test_a_return_goes_past_a_staged_roll_out(hub: Hub) -> None:
    hub.service.add_router("canary-1", stage="canary")
    rule = {"canaries": {"stage": "canary"}}
    hub.service.admin.put("/v1/rollout", json=rule, headers=ANY)
    hub.plan()
    body = {"revision": hub.service.revision}
    assert hub.service.admin.post("/v1/rollout/confirm", json=body).status_code == 200
    hub.go_to(AT)
    number = hub.service.add_peer()
    assert hub.act("return", REASON).status_code == 200
    allowlist = hub.service.admin.get("/v1/allowlist?router=edge-1").json()
    assert [each["mode"] for each in allowlist["gateways"]] == ["monitor"]
    assert number not in [each["id"] for each in allowlist["peers"]]


def test_but_not_together_with_other_addresses(hub: Hub) -> None:
    """The rest might get an address that another gateway still has there."""
    hub.switch()
    hub.act("confirm")
    hub.service.add_router("canary-1", stage="canary")
    rule = {"canaries": {"stage": "canary"}}
    hub.service.admin.put("/v1/rollout", json=rule, headers=ANY)
    other = {"addresses": ["198.51.100.7"]}
    hub.service.admin.patch("/v1/gateways/hub", json=other, headers=ANY)
    assert hub.act("return", REASON).status_code == 200
    for router, shown in (
        ("canary-1", ("monitor", "198.51.100.7")),
        ("edge-1", ("enforce", "198.51.100.1")),
    ):
        allowlist = hub.service.admin.get(f"/v1/allowlist?router={router}").json()
        (found,) = allowlist["gateways"]
        assert (found["mode"], found["addresses"][0]) == shown
