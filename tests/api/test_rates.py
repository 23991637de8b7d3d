"""Packets over time, out of counters that routers report."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from api.rate_records import MOST
from api.registry.upkeep import upkeep
from tests.api.bodies import report, text
from tests.api.client import Client
from tests.api.conftest import Service, on_sqlite

MINUTE = timedelta(minutes=1)
Counted = dict[str, tuple[int, int]]


@dataclass
class Hub:
    """A gateway, and routers that tell of it."""

    service: Service

    def tell(self, by: Client | None = None, router: str = "edge-1", **packets: int) -> None:
        """Counters, each packet of 100 bytes."""
        counts = {name: {"packets": n, "bytes": n * 100} for name, n in packets.items()}
        self.report(by, router, {"hub": counts, "": {"bystander_pass": {"packets": 7, "bytes": 7}}})

    def report(
        self,
        by: Client | None,
        router: str,
        counters: dict[str, Any],
        time: str | None = None,
    ) -> None:
        registry = self.service.admin.get("/v1/status").json()["registry"]
        when = time or text(self.service.clock.now)
        said = report(registry, 1, counters=counters, time=when)
        told = (by or self.service.agent).put(f"/v1/routers/{router}/report", json=said)
        assert told.status_code == 204, told.text

    def rates(self, seconds: int = 60) -> dict[str, Any]:
        asked = self.service.admin.get(f"/v1/gateways/hub/rates?seconds={seconds}")
        assert asked.status_code == 200, asked.text
        found: dict[str, Any] = asked.json()
        return found

    def last(self, counter: str, steps: int, seconds: int = 60) -> list[int]:
        """Packets of the last steps."""
        packets: list[int] = self.rates(seconds)["counters"][counter]["packets"]
        return packets[-steps:]

    @property
    def total(self) -> dict[str, int]:
        return {name: count["packets"] for name, count in self.rates()["total"].items()}


def made(service: Service) -> Hub:
    service.add_gateway()
    return Hub(service)


def test_counters_become_rates(service: Service) -> None:
    hub = made(service)
    hub.tell(registered_pass=1000, unregistered_drop=50)
    found = hub.rates()
    # When those came nobody knows.
    assert found["counters"] == {}
    assert found["total"]["registered_pass"] == {"packets": 1000, "bytes": 100_000}
    assert (found["start"], found["seconds"]) == ("2026-11-23T09:00:00Z", 60)
    service.clock.pass_time(MINUTE / 2)
    hub.tell(registered_pass=1030, unregistered_drop=50)
    assert hub.last("registered_pass", 2) == [0, 30]
    service.clock.pass_time(MINUTE)
    hub.tell(registered_pass=1091, unregistered_drop=52)
    # Half of that time was in the minute before.
    assert hub.last("registered_pass", 3) == [0, 60, 31]
    assert hub.last("unregistered_drop", 3) == [0, 1, 1]
    assert hub.last("registered_pass", 2, 600) == [0, 91]
    assert hub.rates()["counters"]["registered_pass"]["bytes"][-1] == 3100 - 50
    assert hub.total == {"registered_pass": 1091, "unregistered_drop": 52}


def test_all_routers_that_carry_it_are_added_up(service: Service) -> None:
    hub = made(service)
    other = service.add_router("edge-2", site="b")
    service.admin.patch("/v1/gateways/hub", json={"routers": {}}, headers={"If-Match": "*"})
    hub.tell(registered_pass=10)
    hub.tell(other, "edge-2", registered_pass=5)
    service.clock.pass_time(MINUTE / 2)
    hub.tell(registered_pass=14)
    hub.tell(other, "edge-2", registered_pass=8)
    assert (hub.last("registered_pass", 1), hub.total["registered_pass"]) == ([7], 22)
    only = {"routers": {"site": "b"}}
    service.admin.patch("/v1/gateways/hub", json=only, headers={"If-Match": "*"})
    # What a router says of a gateway that is none of its own is nothing to it.
    hub.tell(registered_pass=1_000_000)
    hub.tell(other, "edge-2", registered_pass=9)
    assert hub.total["registered_pass"] == 23


@on_sqlite
def test_counters_that_begin_anew(service: Service) -> None:
    hub = made(service)
    hub.tell(registered_pass=1000, unregistered_drop=5)
    service.clock.pass_time(MINUTE / 2)
    hub.tell(registered_pass=4, unregistered_drop=6)
    assert hub.last("registered_pass", 1) == [4]
    assert hub.total == {"registered_pass": 1004, "unregistered_drop": 11}
    late = {"hub": {"registered_pass": {"packets": 2, "bytes": 200}}}
    # Sent before the one that is there, and held up on its way.
    hub.report(None, "edge-1", late, "2026-11-23T12:00:00Z")
    assert hub.total == {"registered_pass": 1004, "unregistered_drop": 11}


@on_sqlite
def test_a_silence_is_a_time_too(service: Service) -> None:
    hub = made(service)
    hub.tell(registered_pass=0)
    service.clock.pass_time(10 * MINUTE)
    hub.tell(registered_pass=1005)
    steps = hub.last("registered_pass", 12)
    assert sum(steps) == 1005
    assert set(steps[1:-1]) <= {100, 101}
    service.clock.pass_time(timedelta(days=40))
    hub.tell(registered_pass=2005)
    # Of all that time what is kept shows all of it: no packet is lost, and none is made up.
    assert sum(hub.rates()["counters"]["registered_pass"]["packets"]) == 1000
    assert sum(hub.rates(600)["counters"]["registered_pass"]["packets"]) == 1000


def test_what_is_old_goes(service: Service) -> None:
    hub = made(service)
    hub.tell(registered_pass=0)
    service.clock.pass_time(MINUTE / 2)
    hub.tell(registered_pass=30)
    registry = service.app.state.registry

    def rows() -> list[int]:
        with registry.read() as read:
            sql = "SELECT seconds FROM rates ORDER BY seconds"
            return list(read.connection.exec_driver_sql(sql).scalars())

    assert rows() == [0, 60, 600]
    service.clock.pass_time(timedelta(hours=4))
    upkeep(registry, timedelta(days=1))
    assert rows() == [0, 600]
    assert hub.rates()["counters"] == {}
    service.clock.pass_time(timedelta(hours=24))
    upkeep(registry, timedelta(days=1))
    assert rows() == [0]


def test_no_number_is_too_large(service: Service) -> None:
    hub = made(service)
    hub.tell(registered_pass=0)
    for _ in range(3):
        service.clock.pass_time(MINUTE)
        huge = {"packets": 2**64 - 1, "bytes": 2**64 - 1}
        hub.report(None, "edge-1", {"hub": {"registered_pass": huge}})
        service.clock.pass_time(MINUTE)
        hub.tell(registered_pass=0)
    assert hub.total["registered_pass"] == MOST
